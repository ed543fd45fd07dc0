/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/endpoint_layout.h"
#include "transport/os_directory.h"

static int add(struct place *place, size_t *room, const char *file)
{
    if (place->count == *room) {
        size_t more = *room == 0 ? 64 : 2 * *room;
        char **files = realloc(place->files, more * sizeof *files);
        if (files == NULL)
            return -ENOMEM;
        place->files = files;
        *room = more;
    }
    char *copy = strdup(file);
    if (copy == NULL)
        return -ENOMEM;
    place->files[place->count++] = copy;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list(struct place *place)
{
    size_t room = 0;
    int error = 0;
    int fd = fcntl(store_directory_fd(place->store), F_DUPFD_CLOEXEC, 0);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            error = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            (error = add(place, &room, entry->d_name)) < 0)
            break;
    }
    closedir(directory);
    if (place->count > 0)
        qsort(place->files, place->count, sizeof *place->files, compare);
    return error;
}

int place_open(struct place *place)
{
    memset(place, 0, sizeof *place);
    int error = os_directory_path(place->path, sizeof place->path);
    if (error < 0)
        return error;
    error = store_look(&place->store, place->path);
    if (error == 0)
        error = list(place);
    if (error < 0)
        place_close(place);
    return error;
}

void place_close(struct place *place)
{
    for (size_t i = 0; i < place->count; i++)
        free(place->files[i]);
    free(place->files);
    place->files = NULL;
    place->count = 0;
    store_close(place->store);
    place->store = NULL;
}

bool file_is_endpoint(const char *file)
{
    size_t size = strlen(file), end = strlen(ENDPOINT_SUFFIX);
    return size > end && strcmp(file + size - end, ENDPOINT_SUFFIX) == 0;
}

bool file_is_of_socket(const char *file, const char *suffix, char id_hex[ID_HEX + 1])
{
    if (strspn(file, "0123456789abcdef") != ID_HEX || strcmp(file + ID_HEX, suffix) != 0)
        return false;
    memcpy(id_hex, file, ID_HEX);
    id_hex[ID_HEX] = '\0';
    return true;
}
