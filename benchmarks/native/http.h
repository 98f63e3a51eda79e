/* A part of HTTP/1.1 for a server with known clients: keep-alive, pipelining, Content-Length, chunks and trailers.
 *
 * A body that is chunked or very long is a stream: it is counted as it arrives, and only its beginning is kept. */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { KEPT = 1 << 16 }; /* bytes of a stream */

struct request {
    char line[512];   /* method and path */
    const char *body; /* of a stream, its beginning */
    size_t kept, body_length, total_length;
    uint64_t first_byte_at; /* when the body began to arrive; 0 without one */
};

enum framing { NO_STREAM, SIZED, SIZE_LINE, CHUNK, CHUNK_END, TRAILERS };

struct connection {
    int fd;
    char *data;
    size_t length, room;
    struct request request; /* the one that is arriving */
    enum framing expects;   /* of its stream */
    size_t left;            /* bytes of the body or chunk that have not arrived */
    char stream[KEPT];
};

int listen_on_loopback(int *port);
void connection_open(struct connection *connection, int fd);
void connection_close(struct connection *connection);

/* Reads the bytes that have arrived; returns 0 when the peer has closed. */
int connection_receive(struct connection *connection);

/* Returns 1 when a whole request has arrived; it is in `connection->request`. */
int connection_request(struct connection *connection);
void connection_consume(struct connection *connection);
void send_all(int fd, struct iovec *parts, int count);

#endif
