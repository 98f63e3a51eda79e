#define _GNU_SOURCE
#include "api.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clock.h"
#include "http.h"
#include "subject.h"

enum { CHUNKED_OVER = 2048 };

struct event load_event(const char *path) {
    struct event event;
    struct stat status;
    FILE *file = fopen(path, "r");
    if (!file || fstat(fileno(file), &status) != 0) fail("%s: %m", path);
    event.length = (size_t)status.st_size;
    event.body = malloc(event.length + 1);
    if (!event.body || fread(event.body, 1, event.length, file) != event.length) fail("%s: not read", path);
    fclose(file);
    return event;
}

void send_accepted(int fd) {
    static char reply[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                          "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    struct iovec part = {reply, sizeof reply - 1};
    send_all(fd, &part, 1);
}

/* The reply to the internal extension that a runtime registers for its shutdown hooks. */
void send_registered(int fd) {
    static char reply[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          "Lambda-Extension-Identifier: 0f5e1f0c-7b1c-4d8e-9f53-5ba3c6a5b9f1\r\n"
                          "Content-Length: 2\r\n\r\n{}";
    struct iovec part = {reply, sizeof reply - 1};
    send_all(fd, &part, 1);
}

static int format_head(char *head, size_t room, long number, size_t event_length) {
    uint64_t deadline_ms = read_clock(CLOCK_REALTIME) / 1000000 + 300000;
    int length = snprintf(
        head, room,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-%012ld\r\n"
        "Lambda-Runtime-Deadline-Ms: %llu\r\n"
        "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:012345678912:function:benchmark\r\n"
        "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6e%012ld;Parent=9a9197af755a6419;Sampled=1\r\n"
        "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
        number, (unsigned long long)deadline_ms, number);
    const char *framing = event_length > CHUNKED_OVER ? "Transfer-Encoding: chunked\r\n\r\n%zx\r\n"
                                                      : "Content-Length: %zu\r\n\r\n";
    return length + snprintf(head + length, room - (size_t)length, framing, event_length);
}

void send_event(int fd, long number, const struct event *event) {
    static char last_chunk[] = "\r\n0\r\n\r\n";
    char head[1024];
    int length = format_head(head, sizeof head, number, event->length);
    struct iovec parts[] = {{head, (size_t)length}, {event->body, event->length}, {last_chunk, sizeof last_chunk - 1}};
    send_all(fd, parts, event->length > CHUNKED_OVER ? 3 : 2);
}

int ends_with(const char *line, const char *suffix) {
    const char *end = strrchr(line, ' '); /* before HTTP/1.1 */
    size_t length = strlen(suffix);
    return end && (size_t)(end - line) >= length && strncmp(end - length, suffix, length) == 0;
}
