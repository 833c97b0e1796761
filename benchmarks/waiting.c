/* A file system that waits, as NFS, Lustre or GPFS do: whatever makes or removes a name below WAITING_TOP
 * takes WAITING_US microseconds longer.
 *
 *   cc -shared -fPIC -O2 -o waiting.so waiting.c -ldl
 *   WAITING_TOP=/dev/shm/ WAITING_US=1000 LD_PRELOAD=$PWD/waiting.so python stage.py small
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void pause_for(const char *path)
{
    const char *top = getenv("WAITING_TOP"), *us = getenv("WAITING_US");
    if (top && us && !strncmp(path, top, strlen(top)))
        usleep(atoi(us));
}

int mkdir(const char *path, mode_t mode)
{
    pause_for(path);
    return REAL(mkdir)(path, mode);
}

int link(const char *from, const char *to)
{
    pause_for(to);
    return REAL(link)(from, to);
}

int unlink(const char *path)
{
    pause_for(path);
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to)
{
    pause_for(to);
    return REAL(rename)(from, to);
}

static int mode_of(int flags, va_list rest)
{
    return flags & O_CREAT ? va_arg(rest, int) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    if (flags & O_CREAT)
        pause_for(path);
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = mode_of(flags, rest);
    va_end(rest);
    if (flags & O_CREAT)
        pause_for(path);
    return REAL(open64)(path, flags, mode);
}
