#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 8 << 20 };

_Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

int wire_connect(struct wire *wire, const char *address) {
    char host[64];
    const char *colon = address ? strrchr(address, ':') : NULL;
    struct sockaddr_in peer = {.sin_family = AF_INET};
    int on = 1;
    if (!colon || (size_t)(colon - address) >= sizeof host) {
        fputs("AWS_LAMBDA_RUNTIME_API is not host:port\n", stderr);
        exit(2);
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    peer.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &peer.sin_addr) != 1) die(address);
    if (!wire->data) wire->data = malloc(ROOM);
    wire->start = wire->length = 0;
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(wire->fd, (struct sockaddr *)&peer, sizeof peer) == 0) return 1;
    if (errno != ECONNREFUSED) die("connect");
    wire_close(wire);
    return 0;
}

void wire_close(struct wire *wire) {
    close(wire->fd);
    wire->fd = -1;
}

void wire_send(struct wire *wire, struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t sent = writev(wire->fd, parts, count);
        if (sent <= 0) die("writev");
        for (; count > 0 && (size_t)sent >= parts->iov_len; parts++, count--) sent -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
}

static void receive_until(struct wire *wire, size_t wanted) {
    while (wire->length < wanted) {
        ssize_t got = recv(wire->fd, wire->data + wire->length, ROOM - wire->length, 0);
        if (got <= 0) die("recv");
        wire->length += (size_t)got;
    }
}

/* Receives until `mark` has arrived; returns the offset behind it. */
static size_t receive_past(struct wire *wire, size_t from, const char *mark) {
    char *found;
    while (!(found = memmem(wire->data + from, wire->length - from, mark, strlen(mark))))
        receive_until(wire, wire->length + 1);
    return (size_t)(found - wire->data) + strlen(mark);
}

struct iovec wire_receive(struct wire *wire, char **head) {
    if (wire->start == wire->length) wire->start = wire->length = 0;
    size_t body = receive_past(wire, wire->start, "\r\n\r\n"), size, end;
    wire->data[body - 1] = 0;
    *head = wire->data + wire->start;
    char *sized = strcasestr(*head, "\r\ncontent-length:");
    if (sized) {
        size = strtoul(sized + 17, NULL, 10);
        end = body + size;
    } else {
        size_t chunk = body;
        body = receive_past(wire, chunk, "\r\n");
        size = strtoul(wire->data + chunk, NULL, 16);
        end = body + size + strlen("\r\n0\r\n\r\n");
    }
    receive_until(wire, end);
    wire->start = end;
    return (struct iovec){wire->data + body, size};
}
