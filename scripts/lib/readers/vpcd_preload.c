/* Loaded into the private pcscd with LD_PRELOAD. It mends three things that the virtual readers need:
 *
 *   accept, accept4   vpcd sends the length and the bytes of a command separately and never sets TCP_NODELAY, so that
 *                     every command waits 44 ms for a delayed acknowledgement (mended upstream in 0.9)
 *   bind              vpcd listens on all interfaces, without authentication: keep it on this machine
 *   opendir           no USB readers: pcscd finds an empty driver folder (ROLLCALL_NO_USB) and leaves the real readers
 *                     to the system's own pcscd
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int no_delay(int fd)
{
    int on = 1;
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on UNIX sockets: no matter */
    return fd;
}

int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    int (*real)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");
    return no_delay(real(fd, address, size));
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    return no_delay(real(fd, address, size, flags));
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    if (address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in local = *(const struct sockaddr_in *)address;
        if (local.sin_addr.s_addr == htonl(INADDR_ANY))
            local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return real(fd, (const struct sockaddr *)&local, sizeof local);
    }
    if (address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 local = *(const struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_UNSPECIFIED(&local.sin6_addr)) { /* ::ffff:127.0.0.1, so that IPv4 reaches it */
            memset(&local.sin6_addr.s6_addr[10], 0xff, 2);
            local.sin6_addr.s6_addr[12] = 127;
            local.sin6_addr.s6_addr[15] = 1;
        }
        return real(fd, (const struct sockaddr *)&local, sizeof local);
    }
    return real(fd, address, size);
}

DIR *opendir(const char *name)
{
    DIR *(*real)(const char *) = dlsym(RTLD_NEXT, "opendir");
    const char *empty = getenv("ROLLCALL_NO_USB");
    if (empty != NULL && strstr(name, "/pcsc/drivers") != NULL)
        name = empty;
    return real(name);
}
