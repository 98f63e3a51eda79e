/* A Lambda Runtime API with a stopwatch. It starts one runtime, sends it the same event again and again, and prints the times as
 * one JSON object.
 *
 *   stub serve EVENT ANSWER INVOCATIONS SETTLE SECONDS COMMAND...   time a runtime
 *   stub pause MILLISECONDS EVENT ANSWER INVOCATIONS SETTLE SECONDS COMMAND...   the same, with a pause before each event
 *   stub count EVENT ANSWER INVOCATIONS SETTLE SECONDS COMMAND...   system calls from exec to the first next
 *   stub exit  SECONDS COMMAND...                                   exec to exit, for the bare interpreter
 *   stub count-exit SECONDS COMMAND...                              system calls from exec to exit
 *
 * EVENT is the file with the event, ANSWER receives the last response (of a stream, its beginning), SETTLE is the number of
 * first INVOCATIONS that the warm figures leave out. The stub has one thread and one poll loop. The runtime and the stub never
 * work at the same time, so the stub adds the same few microseconds to every subject. Framing and headers are those of the
 * Runtime Interface Emulator: events over 2048 bytes come as one chunk. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"
#include "clock.h"
#include "http.h"
#include "subject.h"

enum { MAX_CONNECTIONS = 16 };

static struct subject subject;
static struct connection connections[MAX_CONNECTIONS];
static int listener;
static volatile sig_atomic_t out_of_time;

static struct event event;
static const char *answer_path;
static long invocations, settle;
static useconds_t pause_us; /* before each event: the subject goes to sleep meanwhile */

static long asked, answered; /* `next` and `response` requests seen */
static uint64_t sent_at, first_next_at, first_response_at, warm_cpu_from, warm_cpu_until;
static uint64_t *first_byte_ns, *response_ns, *cycle_ns;
static size_t body_bytes;
static long lines_before_last;
static struct memory memory;

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("stub: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    subject_kill(&subject);
    exit(1);
}

static uint64_t since_exec(uint64_t at) { return at - *subject.exec_at; }

/* Returns 1 after the last event. */
static int on_next(int fd) {
    uint64_t now = read_clock(CLOCK_MONOTONIC);
    if (asked == 0) first_next_at = now;
    if (asked > 0) cycle_ns[asked - 1] = now - sent_at;
    if (asked != answered) fail("the subject asked for the next event without answering the last one");
    if (asked == 1) memory = subject_memory(&subject); /* there is only one process */
    if (asked == settle) warm_cpu_from = subject_cpu(&subject);
    if (asked == invocations) {
        warm_cpu_until = subject_cpu(&subject);
        return 1;
    }
    asked++;
    subject_drain(&subject);
    if (asked == invocations) lines_before_last = subject.output_lines;
    if (pause_us) usleep(pause_us);
    sent_at = read_clock(CLOCK_MONOTONIC);
    send_event(fd, asked, &event);
    return 0;
}

static void on_response(int fd, const struct request *request) {
    uint64_t now = read_clock(CLOCK_MONOTONIC);
    if (answered == 0) first_response_at = now;
    first_byte_ns[answered] = (request->first_byte_at ? request->first_byte_at : now) - sent_at;
    response_ns[answered++] = now - sent_at;
    body_bytes = request->body_length;
    if (answered == invocations) {
        FILE *file = fopen(answer_path, "w");
        if (!file || fwrite(request->body, 1, request->kept, file) != request->kept ||
            fclose(file) != 0)
            fail("%s: %m", answer_path);
    }
    send_accepted(fd);
}

static int on_request(int fd, const struct request *request) {
    if (ends_with(request->line, "/runtime/invocation/next")) return on_next(fd);
    if (ends_with(request->line, "/extension/event/next")) return 0; /* no reply: the request waits until the environment ends */
    if (ends_with(request->line, "/extension/register")) {
        send_registered(fd);
        return 0;
    }
    if (!ends_with(request->line, "/response") || answered >= asked)
        fail("%s\n%.*s", request->line, (int)request->kept, request->body);
    on_response(fd, request);
    return 0;
}

static int on_readable(struct connection *connection) {
    if (!connection_receive(connection)) {
        connection_close(connection);
        return 0;
    }
    while (connection_request(connection)) {
        if (on_request(connection->fd, &connection->request)) return 1;
        connection_consume(connection);
    }
    return 0;
}

static void on_connect(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (connections[i].fd < 0) {
            connection_open(&connections[i], fd);
            return;
        }
    fail("the subject opened more than %d connections", MAX_CONNECTIONS);
}

static _Noreturn void on_gone(void) {
    fail("the subject ended after %ld of %ld invocations; the last it wrote:\n%s", answered, invocations,
         subject.tail);
}

/* Runs the loop once. Returns 1 when the last `next` has come. */
static int turn(int wait_ms) {
    struct pollfd ready[2 + MAX_CONNECTIONS] = {{listener, POLLIN, 0}, {subject.output, POLLIN, 0}};
    for (int i = 0; i < MAX_CONNECTIONS; i++) ready[2 + i] = (struct pollfd){connections[i].fd, POLLIN, 0};
    if (poll(ready, 2 + MAX_CONNECTIONS, wait_ms) < 0 && errno != EINTR) fail("poll: %m");
    if (out_of_time)
        fail("out of time after %ld of %ld invocations; the last the subject wrote:\n%s", answered, invocations,
             subject.tail);
    if (ready[1].revents && subject_read(&subject) == 0) on_gone();
    if (ready[0].revents) on_connect();
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (ready[2 + i].revents && on_readable(&connections[i])) return 1;
    return 0;
}

static int asked_once(void) {
    turn(0);
    return asked > 0;
}

static int never(void) {
    subject_drain(&subject);
    return 0;
}

static void on_alarm(int signal) {
    (void)signal;
    out_of_time = 1;
}

static void limit_time(const char *seconds) {
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART: it must break waits */
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)atoi(seconds));
}

static void open_api(char **arguments) {
    char address[32];
    int port;
    event = load_event(arguments[0]);
    answer_path = arguments[1];
    invocations = atol(arguments[2]);
    settle = atol(arguments[3]);
    if (invocations < 1 || settle < 0 || settle >= invocations) fail("INVOCATIONS > SETTLE >= 0, please");
    first_byte_ns = calloc((size_t)invocations, sizeof *first_byte_ns);
    response_ns = calloc((size_t)invocations, sizeof *response_ns);
    cycle_ns = calloc((size_t)invocations, sizeof *cycle_ns);
    for (int i = 0; i < MAX_CONNECTIONS; i++) connections[i].fd = -1;
    listener = listen_on_loopback(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    setenv("AWS_LAMBDA_RUNTIME_API", address, 1);
}

static void print_list(const char *name, const uint64_t *values) {
    printf(",\"%s\":[", name);
    for (long i = settle; i < invocations; i++)
        printf("%s%llu", i == settle ? "" : ",", (unsigned long long)values[i]);
    putchar(']');
}

static void serve(char **command) {
    subject_start(&subject, command, 0);
    while (!turn(-1)) {
    }
    subject_drain(&subject);
    printf("{\"next_ns\":%llu,\"first_response_ns\":%llu,\"cpu_ns\":%llu,\"resident_kb\":%ld,"
           "\"proportional_kb\":%ld,\"output_lines\":%ld,\"body_bytes\":%zu",
           (unsigned long long)since_exec(first_next_at), (unsigned long long)since_exec(first_response_at),
           (unsigned long long)((warm_cpu_until - warm_cpu_from) / (uint64_t)(invocations - settle)),
           memory.resident_kb, memory.proportional_kb, subject.output_lines - lines_before_last,
           body_bytes);
    print_list("first_byte_ns", first_byte_ns);
    print_list("response_ns", response_ns);
    print_list("cycle_ns", cycle_ns);
    puts("}");
}

static void run_to_exit(char **command) {
    int status;
    subject_start(&subject, command, 0);
    if (waitpid(subject.pid, &status, 0) < 0) fail("out of time");
    uint64_t now = read_clock(CLOCK_MONOTONIC);
    subject.pid = 0;
    subject_drain(&subject);
    if (status != 0) fail("it ended with status %d:\n%s", status, subject.tail);
    printf("{\"exit_ns\":%llu}\n", (unsigned long long)since_exec(now));
}

static void count(char **command, int (*done)(void)) {
    subject_start(&subject, command, 1);
    long calls = subject_count_calls(&subject, done);
    if (done == asked_once && asked == 0) on_gone();
    printf("{\"calls\":%ld}\n", calls);
}

int main(int argc, char **argv) {
    const char *mode = argc > 3 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 8 && strcmp(mode, "pause") == 0) {
        pause_us = (useconds_t)atoi(argv[2]) * 1000;
        argv[2] = "serve";
        argv += 1;
        argc -= 1;
        mode = argv[1];
    }
    if (strcmp(mode, "exit") == 0 || strcmp(mode, "count-exit") == 0) {
        limit_time(argv[2]);
        if (strcmp(mode, "exit") == 0)
            run_to_exit(argv + 3);
        else
            count(argv + 3, never);
    } else if (argc > 7 && (strcmp(mode, "serve") == 0 || strcmp(mode, "count") == 0)) {
        open_api(argv + 2);
        limit_time(argv[6]);
        if (strcmp(mode, "serve") == 0)
            serve(argv + 7);
        else
            count(argv + 7, asked_once);
    } else {
        fail("see the top of stub.c for its arguments");
    }
    subject_kill(&subject);
    return fflush(stdout) == 0 ? 0 : 1;
}
