#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "subject.h"

int listen_on_loopback(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        fail("cannot listen on 127.0.0.1: %m");
    *port = ntohs(address.sin_port);
    return fd;
}

static void reserve(struct connection *connection, size_t room) {
    if (room <= connection->room) return;
    connection->data = realloc(connection->data, room + 1);
    if (!connection->data) fail("out of memory");
    connection->room = room;
}

void connection_open(struct connection *connection, int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->fd = fd;
    connection->length = 0;
    reserve(connection, 1 << 16);
}

void connection_close(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
}

int connection_receive(struct connection *connection) {
    if (connection->length == connection->room) reserve(connection, connection->room * 2);
    ssize_t got = recv(connection->fd, connection->data + connection->length,
                       connection->room - connection->length, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    connection->length += (size_t)got;
    return got > 0;
}

int connection_request(struct connection *connection, struct request *request) {
    char *end = memmem(connection->data, connection->length, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    const char *size = strcasestr(connection->data, "\r\ncontent-length:");
    if (strcasestr(connection->data, "\r\ntransfer-encoding:") ||
        strcasestr(connection->data, "\r\nexpect:"))
        fail("this stub does not speak the subject's request:\n%s", connection->data);
    size_t head = (size_t)(end + 4 - connection->data);
    request->body_length = size ? strtoul(size + 17, NULL, 10) : 0;
    request->total_length = head + request->body_length;
    snprintf(request->line, sizeof request->line, "%.*s", (int)strcspn(connection->data, "\r"),
             connection->data);
    *end = '\r';
    reserve(connection, request->total_length);
    request->body = connection->data + head;
    return connection->length >= request->total_length;
}

void connection_consume(struct connection *connection, const struct request *request) {
    connection->length -= request->total_length;
    memmove(connection->data, connection->data + request->total_length, connection->length);
}

void send_all(int fd, struct iovec *parts, int count) {
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) fail("the subject closed the connection in the middle of an answer: %m");
        size_t rest = (size_t)sent;
        while (count > 0 && rest >= parts->iov_len) {
            rest -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + rest;
            parts->iov_len -= rest;
        }
    }
}
