/* Just enough HTTP/1.1 for a server that knows its clients: keep-alive, pipelining, Content-Length. */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>
#include <sys/uio.h>

struct connection {
    int fd;
    char *data;
    size_t length, room;
};

struct request {
    char line[512]; /* method and path */
    const char *body;
    size_t body_length, total_length;
};

int listen_on_loopback(int *port);
void connection_open(struct connection *connection, int fd);
void connection_close(struct connection *connection);

/* Takes in what has arrived; 0 when the peer has closed. */
int connection_receive(struct connection *connection);

/* 1 when a whole request is at the front of what has arrived. */
int connection_request(struct connection *connection, struct request *request);
void connection_consume(struct connection *connection, const struct request *request);
void send_all(int fd, struct iovec *parts, int count);

#endif
