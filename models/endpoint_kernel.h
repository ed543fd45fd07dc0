/* SPDX-License-Identifier: MIT */
/* The kernel under endpoint.c: one file, at most; locks of bytes 0 to 3 and of the remover's. */

#define LOCKS 5
#define FDS   32

static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static int locks[LOCKS]; /* by descriptor */
static bool named, mapped[FDS];
static __thread int opened;
static struct {
    struct endpoint_header header;
    struct endpoint_slot slots[ENDPOINT_SLOTS];
} file = {.header = {.magic = ENDPOINT_MAGIC, .abi = SHMQ_ABI}};

static int lock_at(uint64_t byte)
{
    return byte == ENDPOINT_BYTE_REMOVE ? LOCKS - 1 : (int)byte;
}

/* Whose lock it is; a dead one's is gone. */
static int holder(int i)
{
    return locks[i] > 0 && locks[i] < 3 && model_is_dead(locks[i]) ? 0 : locks[i];
}

int os_lock(int fd, uint64_t byte, uint64_t count, int access)
{
    (void)access;
    int first = lock_at(byte), last = count == 1 ? first : LOCKS - 1, error = 0;
    pthread_mutex_lock(&kernel);
    for (int i = first; i <= last; i++)
        if (holder(i) != 0 && holder(i) != fd)
            error = -EAGAIN;
    for (int i = first; i <= last && error == 0; i++)
        locks[i] = fd;
    pthread_mutex_unlock(&kernel);
    return error;
}

int os_unlock(int fd, uint64_t byte, uint64_t count)
{
    int first = lock_at(byte), last = count == 1 ? first : LOCKS - 1;
    pthread_mutex_lock(&kernel);
    for (int i = first; i <= last; i++)
        if (locks[i] == fd)
            locks[i] = 0;
    pthread_mutex_unlock(&kernel);
    return 0;
}

int os_is_locked(int fd, uint64_t byte, uint64_t count)
{
    (void)count;
    pthread_mutex_lock(&kernel);
    int by = holder(lock_at(byte)), locked = by != 0 && by != fd;
    pthread_mutex_unlock(&kernel);
    return locked;
}

int store_file_open(struct store *store, const char *name, int access)
{
    (void)store, (void)name, (void)access;
    pthread_mutex_lock(&kernel);
    bool there = named;
    pthread_mutex_unlock(&kernel);
    return there ? 8 + 4 * model_self + opened++ : -ENOENT;
}

int store_file_new(struct store *store, size_t size)
{
    (void)store, (void)size;
    return -EEXIST; /* the newcomer of case 4 finds out that there is no file: that is all */
}

void os_close(int fd)
{
    pthread_mutex_lock(&kernel);
    for (int i = 0; i < LOCKS && !mapped[fd]; i++)
        if (locks[i] == fd)
            locks[i] = 0;
    pthread_mutex_unlock(&kernel);
}

void store_file_unlink(struct store *store, const char *name)
{
    (void)store, (void)name;
    pthread_mutex_lock(&kernel);
    named = false;
    pthread_mutex_unlock(&kernel);
}

int store_file_same(struct store *store, const char *name, int fd)
{
    (void)store, (void)name, (void)fd;
    pthread_mutex_lock(&kernel);
    bool there = named;
    pthread_mutex_unlock(&kernel);
    return there;
}

int os_file_size(int fd, uint64_t *size)
{
    (void)fd;
    *size = UINT64_MAX;
    return 0;
}

static __thread int mapping; /* this process's last descriptor that was mapped */

void *os_map(int fd, uint64_t offset, size_t size, int access)
{
    (void)offset, (void)size, (void)access;
    mapping = fd;
    mapped[fd] = true;
    return &file;
}

void os_unmap(void *address, size_t size)
{
    (void)size;
    if (address != NULL)
        mapped[mapping] = false;
}

int os_file_allocate(int fd, uint64_t offset, uint64_t size)
{
    (void)fd, (void)offset, (void)size;
    return 0;
}

int store_file_link(struct store *store, int fd, const char *name, int others)
{
    (void)store, (void)fd, (void)name;
    return 0;
}

void remote_unnamed(struct store *store, const char *file, uint32_t place, const char *id_hex)
{
    (void)store, (void)file, (void)place, (void)id_hex;
}

void segment_id_hex(char hex[2 * SEGMENT_ID_SIZE + 1], const uint8_t id[SEGMENT_ID_SIZE])
{
    (void)hex, (void)id;
}
