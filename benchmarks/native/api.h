/* The messages of the Runtime API, with the headers and the framing of the Runtime Interface Emulator: events over 2048 bytes come
 * as one chunk. */
#ifndef API_H
#define API_H

#include <stddef.h>

struct event {
    char *body;
    size_t length;
};

struct event load_event(const char *path);
void send_event(int fd, long number, const struct event *event);
void send_accepted(int fd);

/* The reply to the internal extension that a runtime registers for its shutdown hooks. */
void send_registered(int fd);

/* Whether the path in a request's first line ends with `suffix`. */
int ends_with(const char *line, const char *suffix);

#endif
