/* SPDX-License-Identifier: MIT */
#include "run_tool.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "json_check.h"

#define WORDS_MAX 8

static void become_tool(char **words, int out)
{
    const char *program = getenv("SHMQ_TOOL");
    dup2(out, STDOUT_FILENO);
    /* A sanitizer's exit status must differ from the tool's own. */
    setenv("ASAN_OPTIONS", "exitcode=98", 1);
    setenv("UBSAN_OPTIONS", "halt_on_error=1:exitcode=98", 1);
    if (program != NULL)
        execv(program, words);
    _exit(99);
}

static size_t read_all(int fd, char *text, size_t room)
{
    size_t size = 0;
    ssize_t n;
    while (size + 1 < room && (n = read(fd, text + size, room - 1 - size)) > 0)
        size += (size_t)n;
    text[size] = '\0';
    return size;
}

const struct output *run_tool(const char *command, ...)
{
    static struct output output;
    char *words[WORDS_MAX + 2] = {(char *)(uintptr_t)"shmq", (char *)(uintptr_t)command};
    va_list arguments;
    int line[2], status;

    va_start(arguments, command);
    for (unsigned i = 2; command != NULL && i <= WORDS_MAX; i++)
        if ((words[i] = va_arg(arguments, char *)) == NULL)
            break;
    va_end(arguments);
    CHECK_OK(pipe2(line, O_CLOEXEC));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0)
        become_tool(words, line[1]);
    close(line[1]);
    size_t size = read_all(line[0], output.text, sizeof output.text);
    close(line[0]);
    CHECK(size + 1 < sizeof output.text);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        FAIL("the tool was killed by signal %d", WTERMSIG(status));
    output.status = WEXITSTATUS(status);
    CHECK(output.status <= 3); /* also what a sanitizer ends it with, and a failed exec */
    return &output;
}

const char *check_status(const char *file, int line, int status, const struct output *output)
{
    if (output->status != status)
        check_fail(file, line, "the tool ended with %d instead of %d, having said:\n%s", output->status, status,
                   output->text);
    return output->text;
}

const char *check_json(const char *file, int line, const char *text)
{
    if (!is_json(text))
        check_fail(file, line, "not JSON: %s", text);
    return text;
}

const char *word_in_line(const char *text, const char *first, unsigned column)
{
    static char word[256];
    size_t size = strlen(first);

    for (; text != NULL && *text != '\0'; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
        const char *at = text;
        if (strncmp(text, first, size) != 0 || text[size] != ' ')
            continue;
        for (unsigned i = 0; i < column; i++) {
            at += strcspn(at, " \n");
            at += strspn(at, " ");
        }
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " \n"), at);
        return word;
    }
    return NULL;
}

unsigned count_in(const char *text, const char *part)
{
    unsigned count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}
