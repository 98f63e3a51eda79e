/* The floor: what the same exchanges cost a program that does nothing with them. It asks for an event, sends it back as it
 * came together with the request for the next one, all over one connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROOM = 8 << 20 };

static int fd;
static char *data;
static size_t start, length; /* what has arrived and is not consumed: data[start..length) */

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static void connect_to(char *address) {
    char *colon = strrchr(address, ':');
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    int on = 1;
    *colon = 0;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (inet_pton(AF_INET, address, &peer.sin_addr) != 1 || connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0)
        die("connect");
}

static void send_parts(struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t sent = writev(fd, parts, count);
        if (sent <= 0) die("writev");
        for (; count > 0 && (size_t)sent >= parts->iov_len; parts++, count--) sent -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
}

static void receive_until(size_t wanted) {
    while (length < wanted) {
        ssize_t got = recv(fd, data + length, ROOM - length, 0);
        if (got <= 0) die("recv");
        length += (size_t)got;
    }
}

/* Receives up to and with `mark`; returns the offset behind it. */
static size_t receive_past(size_t from, const char *mark) {
    char *found;
    while (!(found = memmem(data + from, length - from, mark, strlen(mark)))) receive_until(length + 1);
    return (size_t)(found - data) + strlen(mark);
}

/* Receives one reply and leaves its head, a string, at *head. A chunked body is expected to be one chunk. */
static struct iovec receive_reply(char **head) {
    if (start == length) start = length = 0;
    size_t body = receive_past(start, "\r\n\r\n"), size, end;
    data[body - 1] = 0;
    *head = data + start;
    char *sized = strcasestr(*head, "\r\ncontent-length:");
    if (sized) {
        size = strtoul(sized + 17, NULL, 10);
        end = body + size;
    } else {
        size_t chunk = body;
        body = receive_past(chunk, "\r\n");
        size = strtoul(data + chunk, NULL, 16);
        end = body + size + strlen("\r\n0\r\n\r\n");
    }
    receive_until(end);
    start = end;
    return (struct iovec){data + body, size};
}

int main(void) {
    static char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";
    static char post[512];
    char *address = getenv("AWS_LAMBDA_RUNTIME_API"), *head;
    struct iovec ask = {next, sizeof next - 1};
    if (!address || !strrchr(address, ':')) {
        fputs("AWS_LAMBDA_RUNTIME_API is not set\n", stderr);
        return 2;
    }
    data = malloc(ROOM);
    connect_to(strdup(address));
    send_parts(&ask, 1);
    for (;;) {
        struct iovec event = receive_reply(&head);
        char *id = strcasestr(head, "request-id: ") + strlen("request-id: ");
        int size = snprintf(post, sizeof post,
                            "POST /2018-06-01/runtime/invocation/%.36s/response HTTP/1.1\r\nHost: api\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                            id, event.iov_len);
        struct iovec parts[] = {{post, (size_t)size}, event, {next, sizeof next - 1}};
        send_parts(parts, 3);
        receive_reply(&head);
    }
}
