/* The lower limit: the same exchanges in a program that does nothing else.
 *
 *   client          sends each event back as it came, together with the request for the next one, all over one connection
 *   client stream   sends as many chunks of as many bytes as the event says, as a streamed response
 *   client copy     sends the same bytes with nothing in between: a plain socket copy, with a length in front
 *
 * After a stream or a copy it connects anew, as the Runtime API requires after a stream. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

static struct wire api;
static const char *address;
static char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";

static const char *id_of(const char *head) {
    static const char name[] = "request-id: ";
    const char *found = strcasestr(head, name);
    if (!found) die("an event without a request id");
    return found + sizeof name - 1;
}

static int format_post(char *post, size_t room, const char *head, const char *framing) {
    return snprintf(post, room,
                    "POST /2018-06-01/runtime/invocation/%.36s/response HTTP/1.1\r\nHost: api\r\n"
                    "Content-Type: application/octet-stream\r\n%s\r\n",
                    id_of(head), framing);
}

static void echo(void) {
    char post[512], framing[64], *head;
    for (;;) {
        struct iovec event = wire_receive(&api, &head);
        snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", event.iov_len);
        int size = format_post(post, sizeof post, head, framing);
        struct iovec parts[] = {{post, (size_t)size}, event, {next, sizeof next - 1}};
        wire_send(&api, parts, 3);
        wire_receive(&api, &head);
    }
}

static size_t number_in(const struct iovec *event, const char *key) {
    const char *found = memmem(event->iov_base, event->iov_len, key, strlen(key));
    if (!found) die(key);
    return strtoul(found + strlen(key), NULL, 10);
}

/* The same chunk as the function `stream` makes: all values of a byte, repeated. */
static char *make_chunk(size_t size) {
    char *chunk = malloc(size);
    for (size_t i = 0; i < size; i++) chunk[i] = (char)i;
    return chunk;
}

static void send_chunks(struct iovec head, struct iovec chunk, size_t chunks, useconds_t pause_us) {
    char line[32];
    int size = snprintf(line, sizeof line, "%zx\r\n", chunk.iov_len);
    for (size_t i = 0; i < chunks; i++) {
        struct iovec parts[] = {head, {line, (size_t)size}, chunk, {"\r\n", 2}};
        if (i > 0 && pause_us) usleep(pause_us);
        wire_send(&api, parts + (i > 0), 4 - (i > 0));
    }
    wire_send(&api, &(struct iovec){"0\r\n\r\n", 5}, 1);
}

static void send_copy(struct iovec head, struct iovec chunk, size_t chunks, useconds_t pause_us) {
    (void)pause_us;
    wire_send(&api, &head, 1);
    for (size_t i = 0; i < chunks; i++) {
        struct iovec part = chunk;
        wire_send(&api, &part, 1);
    }
}

static void stream(int framed) {
    char post[512], framing[64] = "Transfer-Encoding: chunked\r\n", *head, *data = NULL;
    for (;;) {
        struct iovec event = wire_receive(&api, &head);
        size_t size = number_in(&event, "\"size\":"), chunks = number_in(&event, "\"chunks\":");
        if (!data) data = make_chunk(size);
        if (!framed) snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", size * chunks);
        struct iovec opening = {post, (size_t)format_post(post, sizeof post, head, framing)};
        (framed ? send_chunks : send_copy)(opening, (struct iovec){data, size}, chunks,
                                           (useconds_t)number_in(&event, "\"pause_ms\":") * 1000);
        wire_receive(&api, &head);
        wire_close(&api);
        if (!wire_connect(&api, address)) die("connect");
        wire_send(&api, &(struct iovec){next, sizeof next - 1}, 1);
    }
}

int main(int argc, char **argv) {
    address = getenv("AWS_LAMBDA_RUNTIME_API");
    if (!wire_connect(&api, address)) die("connect");
    wire_send(&api, &(struct iovec){next, sizeof next - 1}, 1);
    if (argc < 2)
        echo();
    else
        stream(strcmp(argv[1], "stream") == 0);
}
