/* A client of HTTP/1.1 with one connection. Requests are bytes; replies are whole in memory. */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <sys/uio.h>

struct wire {
    int fd;
    char *data;
    size_t start, length; /* data[start..length) has arrived and is not consumed */
};

_Noreturn void die(const char *what);

/* Returns 0 if no program listens at the address. */
int wire_connect(struct wire *wire, const char *address);
void wire_close(struct wire *wire);
void wire_send(struct wire *wire, struct iovec *parts, int count);

/* Receives one reply and leaves its head, a string, at *head. A chunked body is expected to be one chunk. */
struct iovec wire_receive(struct wire *wire, char **head);

#endif
