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

#include "clock.h"
#include "subject.h"

enum { WHOLE = 16 << 20 }; /* the longest body that is kept whole */

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
    connection->expects = NO_STREAM;
    connection->request.first_byte_at = 0;
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

static void drop_front(struct connection *connection, size_t size) {
    connection->length -= size;
    memmove(connection->data, connection->data + size, connection->length);
}

static void note_first_byte(struct request *request) {
    if (!request->first_byte_at) request->first_byte_at = read_clock(CLOCK_MONOTONIC);
}

static void begin_stream(struct connection *connection, enum framing framing, size_t head) {
    struct request *request = &connection->request;
    connection->left = request->body_length;
    connection->expects = framing;
    request->body = connection->stream;
    request->kept = request->body_length = request->total_length = 0;
    drop_front(connection, head);
}

/* Reads the head; returns 0 when it has not arrived yet. */
static int read_head(struct connection *connection) {
    struct request *request = &connection->request;
    char *end = memmem(connection->data, connection->length, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    const char *size = strcasestr(connection->data, "\r\ncontent-length:");
    const char *coding = strcasestr(connection->data, "\r\ntransfer-encoding:");
    const char *value = coding ? strchr(coding, ':') + 2 : "";
    int chunked = strcspn(value, "\r") == 7 && strncasecmp(value, "chunked", 7) == 0;
    if ((coding && !chunked) || (coding && size) || strcasestr(connection->data, "\r\nexpect:"))
        fail("this stub does not speak the subject's request:\n%s", connection->data);
    size_t head = (size_t)(end + 4 - connection->data);
    snprintf(request->line, sizeof request->line, "%.*s", (int)strcspn(connection->data, "\r"),
             connection->data);
    *end = '\r';
    request->body_length = request->kept = size ? strtoul(size + 17, NULL, 10) : 0;
    request->total_length = head + request->body_length;
    if (chunked || request->body_length > WHOLE) begin_stream(connection, chunked ? SIZE_LINE : SIZED, head);
    return 1;
}

/* The number of bytes consumed of the body or chunk at `data`. */
static size_t take(struct connection *connection, const char *data, size_t length) {
    struct request *request = &connection->request;
    if (length > connection->left) length = connection->left;
    if (length) note_first_byte(request);
    size_t keep = KEPT - request->kept < length ? KEPT - request->kept : length;
    memcpy(connection->stream + request->kept, data, keep);
    request->kept += keep;
    request->body_length += length;
    connection->left -= length;
    return length;
}

/* The framing that follows a line of the chunked coding. */
static enum framing read_line(struct connection *connection, const char *line, size_t length) {
    char *end;
    switch (connection->expects) {
    case SIZE_LINE:
        connection->left = strtoul(line, &end, 16);
        if (end == line) fail("not the size of a chunk: %.*s", (int)length, line);
        return connection->left ? CHUNK : TRAILERS;
    case CHUNK_END:
        if (length) fail("a chunk is longer than it says: %.*s", (int)length, line);
        return SIZE_LINE;
    default:
        if (length) fail("the stream ended with an error: %.*s", (int)length, line);
        return NO_STREAM;
    }
}

/* Reads the part of the stream that has arrived; returns 1 at its end. */
static int read_stream(struct connection *connection) {
    size_t at = 0;
    while (connection->expects != NO_STREAM) {
        const char *data = connection->data + at;
        size_t there = connection->length - at;
        if (connection->expects == SIZED || connection->expects == CHUNK) {
            at += take(connection, data, there);
            if (connection->left) break;
            connection->expects = connection->expects == SIZED ? NO_STREAM : CHUNK_END;
        } else {
            const char *end = memmem(data, there, "\r\n", 2);
            if (!end) break;
            at += (size_t)(end - data) + 2;
            connection->expects = read_line(connection, data, (size_t)(end - data));
        }
    }
    drop_front(connection, at);
    return connection->expects == NO_STREAM;
}

int connection_request(struct connection *connection) {
    struct request *request = &connection->request;
    if (connection->expects != NO_STREAM) return read_stream(connection);
    if (!read_head(connection)) return 0;
    if (connection->expects != NO_STREAM) return read_stream(connection);
    size_t head = request->total_length - request->body_length;
    if (connection->length > head && request->body_length) note_first_byte(request);
    reserve(connection, request->total_length);
    request->body = connection->data + head;
    return connection->length >= request->total_length;
}

void connection_consume(struct connection *connection) {
    drop_front(connection, connection->request.total_length);
    connection->request.first_byte_at = 0;
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
