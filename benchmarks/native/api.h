/* What the Runtime API says, in the words and the framing of the Runtime Interface Emulator: events over 2048 bytes come as one
 * chunk. */
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

/* A web application's runtime registers an internal extension, to be told when the environment ends. */
void send_registered(int fd);

/* Whether the path of a request's first line ends so. */
int ends_with(const char *line, const char *suffix);

#endif
