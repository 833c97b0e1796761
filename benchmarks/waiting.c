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

#define OPEN(name)                               \
    int name(const char *path, int flags, ...)   \
    {                                            \
        va_list rest;                            \
        int mode = 0;                            \
        if (flags & O_CREAT) {                   \
            va_start(rest, flags);               \
            mode = va_arg(rest, int);            \
            va_end(rest);                        \
            pause_for(path);                     \
        }                                        \
        return REAL(name)(path, flags, mode);    \
    }

OPEN(open)
OPEN(open64)
