/* A model of a web adapter: it starts an HTTP server in the sandbox, asks the Runtime API for events, sends each as an HTTP request
 * to that server over loopback, and posts the response.
 *
 *   adapter COMMAND...    the server's command line; the adapter adds the port to listen on as the last argument
 *
 * The hop costs as little as possible: the adapter copies only the parts of the event that make up the request, and keeps both
 * connections open. Events are HTTP API events of payload format 2.0, compact, without escapes in the copied parts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

enum { READY_POLL_US = 10000, ROOM = 64 << 10 };

static struct wire api, server;
static char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";

struct text {
    char data[ROOM];
    size_t length;
};

static void add(struct text *text, const char *data, size_t length) {
    if (length > ROOM - text->length) die("a message too long for this adapter");
    memcpy(text->data + text->length, data, length);
    text->length += length;
}

static void add_string(struct text *text, const char *string) { add(text, string, strlen(string)); }

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        die("bind");
    close(fd);
    return ntohs(address.sin_port);
}

static void start_server(int argc, char **argv, char *port) {
    char **command = calloc((size_t)argc + 1, sizeof *command);
    memcpy(command, argv + 1, ((size_t)argc - 1) * sizeof *command);
    command[argc - 1] = port;
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(command[0], command);
        die(command[0]);
    }
    free(command);
}

static void await_server(const char *address) {
    while (!wire_connect(&server, address)) {
        if (waitpid(-1, NULL, WNOHANG) > 0) die("the server ended before it listened");
        usleep(READY_POLL_US);
    }
}

/* The string value of `key`. `key` includes its quotes and its colon. */
static struct iovec string_at(const char *json, const char *key) {
    char *value = strstr(json, key);
    if (!value) die(key);
    value += strlen(key) + 1;
    return (struct iovec){value, strcspn(value, "\"")};
}

static void add_part(struct text *text, struct iovec part) { add(text, part.iov_base, part.iov_len); }

static void add_headers(struct text *request, const char *json) {
    static const char key[] = "\"headers\":{";
    const char *at = strstr(json, key);
    if (!at) die(key);
    for (at += sizeof key - 1; *at == '"' || *at == ','; at++) {
        if (*at == ',') continue;
        const char *name = at + 1;
        size_t name_length = strcspn(name, "\"");
        const char *value = name + name_length + 3; /* ":" */
        size_t value_length = strcspn(value, "\"");
        add(request, name, name_length);
        add_string(request, ": ");
        add(request, value, value_length);
        add_string(request, "\r\n");
        at = value + value_length;
    }
}

static void make_request(struct text *request, const char *json) {
    struct iovec query = string_at(json, "\"rawQueryString\":");
    request->length = 0;
    add_part(request, string_at(json, "\"method\":"));
    add_string(request, " ");
    add_part(request, string_at(json, "\"rawPath\":"));
    if (query.iov_len) add_string(request, "?");
    add_part(request, query);
    add_string(request, " HTTP/1.1\r\n");
    add_headers(request, json);
    add_string(request, "\r\n");
}

static void add_escaped(struct text *text, const char *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char escape[8];
        if (data[i] == '"' || data[i] == '\\')
            add(text, (char[]){'\\', data[i]}, 2);
        else if ((unsigned char)data[i] < ' ')
            add(text, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", data[i]));
        else
            add(text, data + i, 1);
    }
}

static void make_answer(struct text *answer, const char *head, struct iovec body) {
    answer->length = 0;
    add_string(answer, "{\"statusCode\":");
    add(answer, head + strlen("HTTP/1.1 "), 3);
    add_string(answer, ",\"headers\":{");
    const char *line = strstr(head, "\r\n");
    for (int first = 1; line && line[2] && line[2] != '\r'; first = 0) {
        const char *name = line + 2, *colon = strchr(name, ':'), *value = colon + 1 + strspn(colon + 1, " ");
        add_string(answer, first ? "\"" : ",\"");
        add(answer, name, (size_t)(colon - name));
        add_string(answer, "\":\"");
        add_escaped(answer, value, strcspn(value, "\r"));
        add_string(answer, "\"");
        line = strstr(value, "\r\n");
    }
    add_string(answer, "},\"isBase64Encoded\":false,\"body\":\"");
    add_escaped(answer, body.iov_base, body.iov_len);
    add_string(answer, "\"}");
}

static void serve(void) {
    static struct text request, answer, event;
    char post[512], *head, *reply;
    for (;;) {
        struct iovec received = wire_receive(&api, &head);
        event.length = 0;
        add_part(&event, received);
        add(&event, "", 1);
        make_request(&request, event.data);
        wire_send(&server, &(struct iovec){request.data, request.length}, 1);
        struct iovec body = wire_receive(&server, &reply);
        make_answer(&answer, reply, body);
        int size = snprintf(post, sizeof post,
                            "POST /2018-06-01/runtime/invocation/%.36s/response HTTP/1.1\r\nHost: api\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                            strcasestr(head, "request-id: ") + strlen("request-id: "), answer.length);
        struct iovec parts[] = {{post, (size_t)size}, {answer.data, answer.length}, {next, sizeof next - 1}};
        wire_send(&api, parts, 3);
        wire_receive(&api, &head);
    }
}

int main(int argc, char **argv) {
    char port[16], address[32];
    if (argc < 2) {
        fputs("adapter COMMAND...\n", stderr);
        return 2;
    }
    snprintf(port, sizeof port, "%d", free_port());
    snprintf(address, sizeof address, "127.0.0.1:%s", port);
    start_server(argc, argv, port);
    await_server(address);
    if (!wire_connect(&api, getenv("AWS_LAMBDA_RUNTIME_API"))) die("connect");
    wire_send(&api, &(struct iovec){next, sizeof next - 1}, 1);
    serve();
}
