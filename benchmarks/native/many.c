/* A Lambda Runtime API that hands out several events at once: a stopwatch for managed instances.
 *
 *   many EVENT ANSWER INVOCATIONS SETTLE SECONDS POLLS COMMAND...
 *
 * It starts the runtime, waits for POLLS requests for an event, and from then on answers each such request with an event. It prints
 * the time and the cost of all this as one JSON object. EVENT, ANSWER and SETTLE are those of stub.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "clock.h"
#include "http.h"
#include "subject.h"

enum { MAX_CONNECTIONS = 256 };

static struct subject subject;
static struct connection connections[MAX_CONNECTIONS];
static int idle[MAX_CONNECTIONS]; /* the connections that wait for an event */
static int listener, idle_count, polls;
static volatile sig_atomic_t out_of_time;

static struct event event;
static const char *answer_path;
static long invocations, settle, asked, answered;
static uint64_t ready_at, ready_cpu, warm_from, warm_until, warm_cpu_from, warm_cpu_until;
static size_t body_bytes;

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("many: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    subject_kill(&subject);
    exit(1);
}

static void hand_out(void) {
    while (idle_count > 0 && asked < invocations) send_event(connections[idle[--idle_count]].fd, ++asked, &event);
}

static void on_next(int number) {
    idle[idle_count++] = number;
    if (!ready_at && idle_count == polls) {
        ready_at = read_clock(CLOCK_MONOTONIC);
        ready_cpu = subject_cpu(&subject);
    }
    if (ready_at) hand_out();
}

static void keep_answer(const struct request *request) {
    FILE *file = fopen(answer_path, "w");
    if (!file || fwrite(request->body, 1, request->kept, file) != request->kept || fclose(file) != 0)
        fail("%s: %m", answer_path);
    body_bytes = request->body_length;
}

static void on_response(int fd, const struct request *request) {
    answered++;
    if (answered == invocations) keep_answer(request);
    send_accepted(fd);
    if (answered == settle) {
        warm_from = read_clock(CLOCK_MONOTONIC);
        warm_cpu_from = subject_cpu(&subject);
    }
    if (answered == invocations) {
        warm_until = read_clock(CLOCK_MONOTONIC);
        warm_cpu_until = subject_cpu(&subject);
    }
}

static void on_request(int number, const struct request *request) {
    int fd = connections[number].fd;
    if (ends_with(request->line, "/runtime/invocation/next"))
        on_next(number);
    else if (ends_with(request->line, "/extension/register"))
        send_registered(fd);
    else if (ends_with(request->line, "/response") && answered < asked)
        on_response(fd, request);
    else if (!ends_with(request->line, "/extension/event/next"))
        fail("%s\n%.*s", request->line, (int)request->kept, request->body);
}

static void forget(int number) {
    for (int i = 0; i < idle_count; i++)
        if (idle[i] == number) idle[i--] = idle[--idle_count];
    connection_close(&connections[number]);
}

static void on_readable(int number) {
    struct connection *connection = &connections[number];
    if (!connection_receive(connection)) {
        forget(number);
        return;
    }
    while (connection_request(connection)) {
        on_request(number, &connection->request);
        connection_consume(connection);
    }
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

static void turn(void) {
    struct pollfd ready[2 + MAX_CONNECTIONS] = {{listener, POLLIN, 0}, {subject.output, POLLIN, 0}};
    for (int i = 0; i < MAX_CONNECTIONS; i++) ready[2 + i] = (struct pollfd){connections[i].fd, POLLIN, 0};
    if (poll(ready, 2 + MAX_CONNECTIONS, -1) < 0 && errno != EINTR) fail("poll: %m");
    if (out_of_time)
        fail("out of time with %d polls, after %ld of %ld invocations; the last the subject wrote:\n%s", idle_count,
             answered, invocations, subject.tail);
    if (ready[1].revents && subject_read(&subject) == 0)
        fail("the subject ended after %ld of %ld invocations; the last it wrote:\n%s", answered, invocations, subject.tail);
    if (ready[0].revents) on_connect();
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (ready[2 + i].revents && connections[i].fd == ready[2 + i].fd) on_readable(i);
}

static void on_alarm(int signal) {
    (void)signal;
    out_of_time = 1;
}

static void open_api(char **arguments) {
    char address[32];
    int port;
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART: it must break waits */
    event = load_event(arguments[0]);
    answer_path = arguments[1];
    invocations = atol(arguments[2]);
    settle = atol(arguments[3]);
    polls = atoi(arguments[5]);
    if (invocations < 1 || settle < 1 || settle >= invocations || polls < 1 || polls > MAX_CONNECTIONS / 4)
        fail("INVOCATIONS > SETTLE >= 1 and 1 <= POLLS <= %d, please", MAX_CONNECTIONS / 4);
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)atoi(arguments[4]));
    for (int i = 0; i < MAX_CONNECTIONS; i++) connections[i].fd = -1;
    listener = listen_on_loopback(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    setenv("AWS_LAMBDA_RUNTIME_API", address, 1);
    setenv("AWS_LAMBDA_MAX_CONCURRENCY", arguments[5], 1);
}

int main(int argc, char **argv) {
    if (argc < 8) fail("see the top of many.c for its arguments");
    open_api(argv + 1);
    subject_start(&subject, argv + 7, 0);
    while (answered < invocations) turn();
    long warm = invocations - settle;
    struct memory memory = subject_memory(&subject);
    printf("{\"ready_ns\":%llu,\"ready_cpu_ns\":%llu,\"invocation_ns\":%llu,\"cpu_ns\":%llu,\"proportional_kb\":%ld,"
           "\"processes\":%ld,\"output_lines\":%ld,\"body_bytes\":%zu}\n",
           (unsigned long long)(ready_at - *subject.exec_at), (unsigned long long)ready_cpu,
           (unsigned long long)(warm_until - warm_from) / (unsigned long long)warm,
           (unsigned long long)(warm_cpu_until - warm_cpu_from) / (unsigned long long)warm,
           memory.proportional_kb, memory.processes, subject.output_lines, body_bytes);
    subject_kill(&subject);
    return fflush(stdout) == 0 ? 0 : 1;
}
