/* Counts what a process asks of libc: allocations, and bytes that memcpy and memmove copy.
 *
 * Loaded with LD_PRELOAD. Each call is counted, then handed to glibc under another of its public
 * names. The counts lie in the file that RATATOSKR_COUNTS names, which is mapped: whoever reads the
 * file has them. Without the variable nothing is kept. Built with -fno-builtin, or the compiler
 * would put memcpy back in place of what memcpy delegates to.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void *__memcpy_chk(void *, const void *, size_t, size_t);
extern void *__memmove_chk(void *, const void *, size_t, size_t);

/* As `meter.rs` reads it. */
struct counts {
    uint64_t allocations;
    uint64_t bytes_copied;
};

/* Until the file is mapped, and where there is none. */
static struct counts unread;
static struct counts *counts = &unread;

__attribute__((constructor)) static void map_counts(void) {
    const char *path = getenv("RATATOSKR_COUNTS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = MAP_FAILED;
    if (ftruncate(file, sizeof(struct counts)) == 0)
        mapped = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        counts = mapped;
}

static void add(uint64_t *count, uint64_t more) {
    __atomic_fetch_add(count, more, __ATOMIC_RELAXED);
}

void *malloc(size_t bytes) {
    add(&counts->allocations, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    add(&counts->allocations, 1);
    return __libc_calloc(count, bytes);
}

/* One that moves copies what was there. */
void *realloc(void *old, size_t bytes) {
    size_t held = old ? malloc_usable_size(old) : 0;
    uintptr_t from = (uintptr_t)old;
    void *new = __libc_realloc(old, bytes);
    add(&counts->allocations, 1);
    if (new && from && (uintptr_t)new != from)
        add(&counts->bytes_copied, held < bytes ? held : bytes);
    return new;
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    add(&counts->allocations, 1);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    void *new = aligned_alloc(alignment, bytes);
    if (!new)
        return ENOMEM;
    *out = new;
    return 0;
}

void *memcpy(void *to, const void *from, size_t bytes) {
    add(&counts->bytes_copied, bytes);
    return __memcpy_chk(to, from, bytes, SIZE_MAX);
}

void *memmove(void *to, const void *from, size_t bytes) {
    add(&counts->bytes_copied, bytes);
    return __memmove_chk(to, from, bytes, SIZE_MAX);
}
