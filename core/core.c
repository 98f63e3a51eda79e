/* What a warm invocation does most often, for the common case: the transport of one connection to
 * the Runtime API, and, further down, the lines that a function prints.
 *
 * The transport sends a whole request, receives a whole reply, and checks that it is what it nearly
 * always is.
 *
 * Whatever is not the common case is left to Python (runtime_api/connection.py), which reads all of
 * HTTP: then these functions return None, and `unread` gives what has been received.
 *
 * Theory of operation: what an interruption may not lose. A signal handler may raise while a call
 * waits; another thread may have an exception raised right after any call has returned, before its
 * result is stored. So nothing is given away by being returned. What was sent is counted here until
 * `begin`. What was received stays in the buffer: a call that is made again finds the same reply
 * in it, `exchange` until `poll` or `begin`, `poll` until `settle`. */
#include "python_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CAPACITY = 64 * 1024, /* of the buffer; longer replies are left to Python */
    MOST_HEADERS = 24,
    LONGEST_NAME = 64,
    LONGEST_NUMBER = 7, /* digits of a length that is sure to fit */
    MOST_INTERNED = 256, /* names; CPython 3.12 keeps each for ever */
    LONGEST_ANSWER = 32 * 1024, /* of a body that is joined to its head */
    MOST_INTERRUPTIONS = 100,
};

/* The fields of an Invocation (runtime_api/client.py), in the order of FIELD_NAMES. */
enum { REQUEST_ID, CONTENT_TYPE, DEADLINE, FUNCTION_ARN, TRACE_ID, CLIENT_CONTEXT, IDENTITY,
       TENANT_ID, INVOCATION_ID, BODY, UPLOAD, FIELDS };

/* The attributes of a connection that `fetch` and `answer` need: see ATTRIBUTE_NAMES. */
enum { FOLLOWING, HAS_BEGUN, UNFINISHED, JOURNAL, UNREAD, UNREAD_AT, ATTRIBUTES };

/* The names by which the environment's variables are found: see ENVIRONMENT_NAMES. */
enum { OS, ENVIRON, ENVIRON_TYPE, DATA, ENVIRONMENTS };

typedef struct {
    const char *at;
    size_t length;
} Text;

/* A header of the last reply: of the next one most are the same, and so are the objects. */
typedef struct {
    PyObject *raw;  /* the name as it was sent */
    PyObject *name; /* the same in lower case */
    PyObject *value;
} Header;

typedef struct {
    PyObject_HEAD
    int descriptor;
    int owner;         /* the process that may speak: a forked child may not */
    char *not_forked;  /* one byte that is 1 in this process, and 0 in its children; may be NULL */
    char *buffer;
    size_t start, end;  /* what has been received and not been read */
    size_t answer_end;  /* the end of the reply that `exchange` has found; 0 if there is none */
    size_t event_end;   /* the end of the reply that `poll` has found; 0 if there is none */
    Py_ssize_t sent;    /* bytes of the request that the kernel has taken */
    char waiting;       /* whether the last `poll` was interrupted while it waited for bytes */
    int interned;       /* names that were new to the interpreter */
    Header headers[MOST_HEADERS];
    /* For `fetch` and `answer`. */
    PyObject *common;   /* the header lines of every request, bytes */
    PyObject *next;     /* the request for the next event, bytes */
    PyTypeObject *kind; /* of an event: Invocation */
    Py_ssize_t places[FIELDS]; /* where an event keeps its fields, in bytes from its start */
    PyObject *attributes[ATTRIBUTES], *environment[ENVIRONMENTS];
    PyObject *trace_id; /* the variable's name, bytes */
    PyObject *event;    /* that `fetch` has brought; NULL or None when it has been taken */
    PyObject *raised;   /* what a signal handler has raised during `answer`, NULL or None */
    char *message;      /* the last answer, with the request that follows it */
    size_t length, follows_at;
    Py_buffer memory;   /* the table of invocations in flight (concurrency/in_flight.py) */
    unsigned char *slot;
    char recorded;      /* whether `fetch` has recorded its event there */
} Core;

typedef struct {
    Text fields[2 * MOST_HEADERS]; /* names and values, in turn */
    int count;
    const char *body;
    size_t length; /* of the body as it is on the wire */
    int is_chunked;
} Head;

typedef enum { UNUSUAL, INCOMPLETE, WHOLE } Found;

/* With an exception: a signal handler's, or one of the wire. Either may be an OSError. */
enum { RAISED = -1, FAILED = -2 };

/* What the bytes mean. */

/* The bytes of headers' names. A table, as every invocation asks for some hundred bytes. */
static const char NAME_BYTES[256] = {
    ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['0' ... '9'] = 1, ['-'] = 1,
};

static int is_name(char byte) { return NAME_BYTES[(unsigned char)byte]; }

static char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte; }

#define TEXT(literal) {literal, sizeof literal - 1}

/* Whether the text is this name, which is in lower case. Of printable bytes only letters become
 * letters by the bit that is set here, and the others of a name have it already. */
static int same_name(Text text, Text name) {
    if (text.length != name.length) return 0;
    for (size_t i = 0; i < name.length; i++)
        if ((text.at[i] | 0x20) != name.at[i]) return 0;
    return 1;
}
#define IS(text, name) same_name(text, (Text)TEXT(name))

/* Whether eight bytes are all printable ASCII: no byte overflows or borrows from the next one then. */
static int are_printable(const char *at) {
    const uint64_t each = 0x0101010101010101;
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return ((bytes | (bytes - 0x20 * each) | (bytes + each)) & 0x80 * each) == 0;
}

/* The end of the printable ASCII that begins here. Anything else is for Python to judge. */
static const char *skip_printable(const char *at, const char *end) {
    while (end - at >= 8 && are_printable(at)) at += 8;
    while (at < end && (unsigned char)(*at - 32) < 95) at++;
    return at;
}

static int parse_length(Text digits, size_t *length) {
    *length = 0;
    if (digits.length == 0 || digits.length > LONGEST_NUMBER) return 0;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9') return 0;
        *length = *length * 10 + (size_t)(digits.at[i] - '0');
    }
    return 1;
}

static Text trimmed(const char *at, const char *end) {
    while (at < end && *at == ' ') at++;
    while (at < end && end[-1] == ' ') end--;
    return (Text){at, (size_t)(end - at)};
}

/* One header line; returns where the next one begins, NULL if it is unusual. */
static const char *parse_line(Head *head, const char *at, const char *end) {
    const char *colon = at;
    while (colon < end && is_name(*colon)) colon++;
    if (colon == at || colon == end || *colon != ':' || colon - at > LONGEST_NAME) return NULL;
    const char *stop = skip_printable(colon, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n') return NULL;
    if (head->count == MOST_HEADERS) return NULL;
    head->fields[2 * head->count] = (Text){at, (size_t)(colon - at)};
    head->fields[2 * head->count + 1] = trimmed(colon + 1, stop);
    head->count++;
    return stop + 2;
}

/* How long the body is. A reply that names its length in any but one way is unusual. */
static int parse_framing(Head *head) {
    int framings = 0;
    for (int i = 0; i < head->count; i++) {
        Text name = head->fields[2 * i], value = head->fields[2 * i + 1];
        if (IS(name, "connection") && !IS(value, "keep-alive")) return 0;
        if (IS(name, "content-length")) {
            framings++;
            if (!parse_length(value, &head->length)) return 0;
        }
        if (IS(name, "transfer-encoding")) {
            framings++;
            head->is_chunked = 1;
            if (!IS(value, "chunked")) return 0;
        }
    }
    return framings == 1;
}

/* A head with this status line. Without its end it is unusual too: Python knows which bytes can
 * still become a head, and which never will. */
static int parse_head(Head *head, const char *at, const char *end, const char *status) {
    size_t length = strlen(status);
    if ((size_t)(end - at) < length || memcmp(at, status, length) != 0) return 0;
    at = skip_printable(at, end);
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n') return 0;
    at += 2;
    head->count = 0;
    head->is_chunked = 0;
    while (end - at >= 2 && !(at[0] == '\r' && at[1] == '\n'))
        if ((at = parse_line(head, at, end)) == NULL) return 0;
    if (end - at < 2) return 0;
    head->body = at + 2;
    return parse_framing(head);
}

/* A chunk's size line; returns where its data begins, NULL if the line is unusual or incomplete. */
static const char *parse_chunk_size(const char *at, const char *end, size_t *size, Found *found) {
    const char *first = at;
    *size = 0;
    for (; at < end && at - first < LONGEST_NUMBER; at++) {
        char digit = lower(*at);
        if (digit >= '0' && digit <= '9') *size = *size * 16 + (size_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f') *size = *size * 16 + (size_t)(digit - 'a' + 10);
        else break;
    }
    if (at == end || (at + 1 == end && *at == '\r')) *found = INCOMPLETE;
    else *found = UNUSUAL;
    if (at == first || end - at < 2 || at[0] != '\r' || at[1] != '\n') return NULL;
    return at + 2;
}

/* The end of a chunked body, and how long it is without its framing. `into` takes its bytes, if it
 * is not NULL. Trailers and extensions are unusual. */
static const char *parse_chunks(const char *at, const char *end, char *into, size_t *total,
                                Found *found) {
    size_t size;
    *total = 0;
    while ((at = parse_chunk_size(at, end, &size, found)) != NULL) {
        *found = size > CAPACITY ? UNUSUAL : INCOMPLETE;
        if (size > CAPACITY || (size_t)(end - at) < size + 2) return NULL;
        *found = UNUSUAL;
        if (at[size] != '\r' || at[size + 1] != '\n') return NULL;
        if (into != NULL) memcpy(into + *total, at, size);
        *total += size;
        at += size + 2;
        if (size == 0) {
            *found = WHOLE;
            return at;
        }
    }
    return NULL;
}

/* Where the reply at `start` ends, if all of it is there. */
static Found parse_reply(Core *core, Head *head, const char *status, size_t *reply_end) {
    const char *end = core->buffer + core->end;
    if (!parse_head(head, core->buffer + core->start, end, status)) return UNUSUAL;
    if (head->is_chunked) {
        Found found;
        size_t total;
        const char *stop = parse_chunks(head->body, end, NULL, &total, &found);
        if (stop != NULL) *reply_end = (size_t)(stop - core->buffer);
        return found;
    }
    if (head->length > CAPACITY) return UNUSUAL;
    *reply_end = (size_t)(head->body - core->buffer) + head->length;
    return *reply_end <= core->end ? WHOLE : INCOMPLETE;
}

/* The wire. */

enum { PAGE = 4096 };

/* Memory that the kernel clears in a forked child: to look at it costs no system call. NULL where
 * the kernel cannot do that (before Linux 4.14, and in emulators). */
static char *mark_process(void) {
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return NULL;
    if (madvise(page, PAGE, MADV_WIPEONFORK) < 0) return munmap(page, PAGE), NULL;
    *page = 1;
    return page;
}

/* Whether this is the process that may speak. */
static int may_speak(const Core *core) {
    return core->not_forked != NULL ? *core->not_forked : getpid() == core->owner;
}

/* What the peer has closed, or said out of turn, is to be dealt with before anything is sent. */
static int is_quiet(Core *core) {
    char byte;
    return core->descriptor >= 0 && core->start == core->end &&
           recv(core->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Send the request: 1 if it is on its way, as far as `sent` says; 0 if the peer is gone, and has
 * taken nothing; RAISED or FAILED. */
static int send_request(Core *core, const char *request, Py_ssize_t length) {
    for (;;) {
        PyThreadState *state = PyEval_SaveThread();
        ssize_t sent = send(core->descriptor, request, (size_t)length, MSG_NOSIGNAL);
        int error = errno;
        PyEval_RestoreThread(state);
        if (sent > 0) {
            core->sent = sent;
            return 1;
        }
        if (error == EPIPE || error == ECONNRESET) return 0;
        errno = error;
        if (error != EINTR) return PyErr_SetFromErrno(PyExc_OSError), FAILED;
        if (PyErr_CheckSignals() < 0) return RAISED;
    }
}

static void make_room(Core *core) {
    if (core->start == 0) return;
    memmove(core->buffer, core->buffer + core->start, core->end - core->start);
    core->end -= core->start;
    core->start = 0;
}

/* Receive more: 1 if something has come; 0 if the peer has closed, or there is no room; RAISED or
 * FAILED. The runtime never has two threads use one connection. If others do, the bytes are
 * worthless, but none is written outside the buffer. */
static int receive(Core *core) {
    make_room(core);
    if (core->end == CAPACITY) return 0;
    core->waiting = 1;
    for (;;) {
        /* A signal that came since the interpreter last looked would interrupt no wait. */
        if (PyErr_CheckSignals() < 0) return RAISED;
        size_t before = core->end; /* a signal handler may have dropped what there was */
        PyThreadState *state = PyEval_SaveThread();
        ssize_t received = recv(core->descriptor, core->buffer + before, CAPACITY - before, 0);
        int error = errno;
        PyEval_RestoreThread(state);
        if (received >= 0) {
            if (core->end != before)
                return PyErr_SetString(PyExc_RuntimeError, "two threads use one connection"), RAISED;
            core->end = before + (size_t)received;
            core->waiting = 0;
            return received > 0;
        }
        errno = error;
        if (error != EINTR) return PyErr_SetFromErrno(PyExc_OSError), FAILED;
    }
}

/* Wait for the reply with this status: WHOLE, or UNUSUAL; RAISED or FAILED. */
static int await_reply(Core *core, Head *head, const char *status, size_t *reply_end) {
    core->waiting = 0;
    Found found = core->start == core->end ? INCOMPLETE : parse_reply(core, head, status, reply_end);
    while (found == INCOMPLETE) {
        int received = receive(core);
        if (received < 0) return received;
        if (received == 0) return UNUSUAL;
        found = parse_reply(core, head, status, reply_end);
    }
    return (int)found;
}

/* Objects. */

static PyObject *none(void) {
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *truth(int value) {
    PyObject *object = value ? Py_True : Py_False;
    Py_INCREF(object);
    return object;
}

static int is_text(PyObject *object, Text text) {
    Py_ssize_t length;
    if (object == NULL) return 0;
    const char *known = PyUnicode_AsUTF8AndSize(object, &length);
    return known != NULL && (size_t)length == text.length && memcmp(known, text.at, text.length) == 0;
}

static void replace(PyObject **place, PyObject *object) {
    PyObject *before = *place;
    *place = object;
    Py_XDECREF(before);
}

static PyObject *to_string(Text text) {
    return PyUnicode_FromStringAndSize(text.at, (Py_ssize_t)text.length);
}

/* Have names compared by their addresses, as those that the runtime looks up are interned too. */
static void intern(Core *core, PyObject **name) {
    PyObject *fresh = *name;
    if (core->interned == MOST_INTERNED) return;
    PyUnicode_InternInPlace(name);
    if (*name == fresh) core->interned++;
}

static int learn_name(Core *core, Header *header, Text name) {
    char lowered[LONGEST_NAME];
    for (size_t i = 0; i < name.length; i++) lowered[i] = lower(name.at[i]);
    PyObject *raw = to_string(name);
    if (raw == NULL) return 0;
    PyObject *known = to_string((Text){lowered, name.length});
    if (known == NULL) {
        Py_DECREF(raw);
        return 0;
    }
    intern(core, &known);
    replace(&header->name, known);
    replace(&header->raw, raw);
    return 1;
}

/* Add one header to the dictionary. False with an exception. */
static int add_header(Core *core, PyObject *headers, Header *header, Text name, Text value) {
    if (!is_text(header->raw, name) && !learn_name(core, header, name)) return 0;
    if (!is_text(header->value, value)) {
        PyObject *fresh = to_string(value);
        if (fresh == NULL) return 0;
        replace(&header->value, fresh);
    }
    return PyDict_SetItem(headers, header->name, header->value) == 0;
}

static PyObject *make_headers(Core *core, const Head *head) {
    PyObject *headers = PyDict_New();
    if (headers == NULL) return NULL;
    for (int i = 0; i < head->count; i++) {
        const Text *field = &head->fields[2 * i];
        if (!add_header(core, headers, &core->headers[i], field[0], field[1])) {
            Py_DECREF(headers);
            return NULL;
        }
    }
    return headers;
}

static PyObject *make_body(Core *core, const Head *head) {
    const char *end = core->buffer + core->end;
    if (!head->is_chunked) return PyBytes_FromStringAndSize(head->body, (Py_ssize_t)head->length);
    Found found;
    size_t total;
    parse_chunks(head->body, end, NULL, &total, &found);
    PyObject *body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    if (body != NULL && total > 0) parse_chunks(head->body, end, PyBytes_AsString(body), &total, &found);
    return body;
}

/* The headers and the body; None if a header comes twice, which is unusual. */
static PyObject *make_reply(Core *core, const Head *head) {
    PyObject *headers = make_headers(core, head);
    if (headers == NULL) return NULL;
    if (PyDict_Size(headers) != head->count) {
        Py_DECREF(headers);
        return none();
    }
    PyObject *body = make_body(core, head);
    PyObject *reply = body == NULL ? NULL : PyTuple_Pack(2, headers, body);
    Py_XDECREF(body);
    Py_DECREF(headers);
    return reply;
}

/* The methods. */

static void settle_answer(Core *core) {
    if (core->answer_end != 0) core->start = core->answer_end;
    core->answer_end = 0;
}

/* What follows an answer that takes no other request with it, is said out of turn. */
static int is_as_expected(const Core *core, int following) {
    return following || core->answer_end == core->end;
}

static PyObject *core_begin(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    settle_answer(core);
    core->sent = 0;
    return none();
}

static PyObject *core_exchange(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Core *core = (Core *)self;
    char *request;
    Py_ssize_t length;
    Head head;
    size_t end;
    if (count != 2) return PyErr_SetString(PyExc_TypeError, "exchange(request, following)"), NULL;
    if (PyBytes_AsStringAndSize(arguments[0], &request, &length) < 0) return NULL;
    if (core->sent == 0) {
        if (!is_quiet(core)) return none();
        int sent = send_request(core, request, length);
        if (sent <= 0) return sent < 0 ? NULL : none();
    }
    if (core->sent != length) return none();
    int found = await_reply(core, &head, "HTTP/1.1 202 ", &end);
    if (found < 0) return NULL;
    if (found == UNUSUAL) return none();
    core->answer_end = end;
    if (!is_as_expected(core, arguments[1] == Py_True)) {
        core->answer_end = 0;
        return none();
    }
    return truth(1);
}

static PyObject *core_poll(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    Head head;
    size_t end;
    (void)unused;
    core->event_end = 0;
    if (!may_speak(core) || core->descriptor < 0) return none();
    settle_answer(core);
    int found = await_reply(core, &head, "HTTP/1.1 200 ", &end);
    if (found < 0) return NULL;
    if (found == UNUSUAL) return none();
    PyObject *reply = make_reply(core, &head);
    if (reply != NULL && reply != Py_None) core->event_end = end;
    return reply;
}

static PyObject *core_settle(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    if (core->event_end != 0) core->start = core->event_end;
    core->event_end = 0;
    return truth(core->start == core->end);
}

static PyObject *core_unread(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    size_t start = core->answer_end != 0 ? core->answer_end : core->start;
    return PyBytes_FromStringAndSize(core->buffer + start, (Py_ssize_t)(core->end - start));
}

static PyObject *core_attach(PyObject *self, PyObject *descriptor) {
    Core *core = (Core *)self;
    long number = PyLong_AsLong(descriptor);
    if (number == -1 && PyErr_Occurred()) return NULL;
    core->descriptor = (int)number;
    core->waiting = 0;
    if (number >= 0) core->start = core->end = core->answer_end = core->event_end = 0;
    return none();
}

static PyObject *core_drop(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    core->start = core->end = core->answer_end = core->event_end = 0;
    return none();
}

/* An event and its answer, each in one call: what Python does in a dozen calls around `poll` and
 * `exchange`. Nothing is given away by being returned here either: the event stays in `event` until
 * it is taken. An answer that `answer` has begun and not finished is in `begun`, and the connection
 * is marked: whatever is exchanged next, goes on with that answer. */

static const Text FIELD_HEADERS[] = {
    TEXT("lambda-runtime-aws-request-id"),   TEXT("content-type"),
    TEXT("lambda-runtime-deadline-ms"),      TEXT("lambda-runtime-invoked-function-arn"),
    TEXT("lambda-runtime-trace-id"),         TEXT("lambda-runtime-client-context"),
    TEXT("lambda-runtime-cognito-identity"), TEXT("lambda-runtime-aws-tenant-id"),
    TEXT("lambda-runtime-invocation-id"),
};
enum { IN_HEADERS = sizeof FIELD_HEADERS / sizeof *FIELD_HEADERS };
static const char *const FIELD_NAMES[FIELDS] = {
    "request_id",       "content_type", "deadline_ms",   "function_arn", "trace_id", "client_context",
    "cognito_identity", "tenant_id",    "invocation_id", "body",         "upload",
};
static const char *const ENVIRONMENT_NAMES[ENVIRONMENTS] = {"os", "environ", "_Environ", "_data"};
static const char *const ATTRIBUTE_NAMES[ATTRIBUTES] = {
    "following", "has_begun", "unfinished", "_journal", "_buffer", "_at",
};

/* A slot of the table: see concurrency/in_flight.py. */
enum { SLOT_SIZE = 2048, STATE = 4, CURRENT = 8, ENTRIES = 16, ENTRY = (SLOT_SIZE - ENTRIES) / 2,
       ENTRY_IDS = 10, BUSY = 0, WAITING = 1 };

static void put_number(unsigned char *at, unsigned long long number, int size) {
    for (int i = 0; i < size; i++) at[i] = (unsigned char)(number >> 8 * i);
}

static unsigned char *current_entry(const Core *core) {
    return core->slot + ENTRIES + (core->slot[CURRENT] & 1) * ENTRY;
}

/* Write the event down: from here on the supervisor answers for it if this process dies. */
static void record(Core *core, Text request, Text invocation, unsigned long long deadline) {
    core->slot[CURRENT] = !(core->slot[CURRENT] & 1);
    unsigned char *entry = current_entry(core);
    size_t length = request.length + 1 + invocation.length;
    if (length <= ENTRY - ENTRY_IDS) {
        memcpy(entry + ENTRY_IDS, request.at, request.length);
        entry[ENTRY_IDS + request.length] = '\n';
        if (invocation.length > 0)
            memcpy(entry + ENTRY_IDS + request.length + 1, invocation.at, invocation.length);
    } else {
        length = 0;
    }
    put_number(entry + 2, deadline, 8);
    put_number(entry, length, 2);
    unsigned long events = 0;
    for (int i = 0; i < 4; i++) events |= (unsigned long)core->slot[i] << 8 * i;
    put_number(core->slot, events + 1, 4);
    core->slot[STATE] = BUSY;
    core->recorded = 1;
}

/* Milliseconds; 0 for what is no number. */
static unsigned long long parse_deadline(Text text) {
    unsigned long long number = 0;
    if (text.length >= 18) return 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return 0;
        number = number * 10 + (unsigned long long)(text.at[i] - '0');
    }
    return number;
}

/* Where in the head each field of an event is. 0 if one comes twice, which is unusual. */
static int find_fields(const Head *head, int *places) {
    for (int field = 0; field < IN_HEADERS; field++) places[field] = -1;
    for (int i = 0; i < head->count; i++)
        for (int field = 0; field < IN_HEADERS; field++)
            if (same_name(head->fields[2 * i], FIELD_HEADERS[field])) {
                if (places[field] >= 0) return 0;
                places[field] = i;
                break;
            }
    return places[REQUEST_ID] >= 0 && head->fields[2 * places[REQUEST_ID] + 1].length > 0;
}

/* A new reference to the value of a header, the last one's object if it is the same. */
static PyObject *value_at(Core *core, const Head *head, int place) {
    if (place < 0) return none();
    Header *header = &core->headers[place];
    Text value = head->fields[2 * place + 1];
    if (!is_text(header->value, value)) {
        PyObject *fresh = to_string(value);
        if (fresh == NULL) return NULL;
        replace(&header->value, fresh);
    }
    Py_INCREF(header->value);
    return header->value;
}

static PyObject *make_field(Core *core, const Head *head, const int *places, int field,
                            unsigned long long deadline) {
    if (field == DEADLINE) return PyLong_FromLongLong((long long)deadline);
    if (field == BODY) return make_body(core, head);
    return field < IN_HEADERS ? value_at(core, head, places[field]) : none();
}

/* The event as an Invocation, as its own __init__ makes it. Its fields are slots: they are filled
 * without a search for each by its name. */
static PyObject *make_event(Core *core, const Head *head, const int *places,
                            unsigned long long deadline) {
    PyObject *event = PyType_GenericAlloc(core->kind, 0);
    for (int field = 0; event != NULL && field < FIELDS; field++) {
        PyObject *value = make_field(core, head, places, field, deadline);
        if (value == NULL) {
            Py_DECREF(event);
            return NULL;
        }
        *(PyObject **)((char *)event + core->places[field]) = value;
    }
    return event;
}

/* The kinds of members, and a flag, as structmember.h names them. */
enum { T_OBJECT_ = 6, T_CHAR_BOOL = 14, T_OBJECT_EX_ = 16, T_PYSSIZET_ = 19, READ_ONLY = 1 };

/* Where objects of the class keep the field; 0 if it is not in a slot. */
static Py_ssize_t place_of(PyTypeObject *kind, const char *name) {
    const PyMemberDef *member = PyType_GetSlot(kind, Py_tp_members);
    for (; member != NULL && member->name != NULL; member++)
        if (strcmp(member->name, name) == 0) return member->type == T_OBJECT_EX_ ? member->offset : 0;
    return 0;
}

static int is_there(const PyObject *object) { return object != NULL && object != Py_None; }

static PyObject *left_to_python(void) {
    PyErr_Clear();
    return none();
}

static int plain_bytes(PyObject *object, Text *text) {
    char *at;
    Py_ssize_t length;
    if (object == NULL || PyBytes_AsStringAndSize(object, &at, &length) < 0) return PyErr_Clear(), 0;
    *text = (Text){at, (size_t)length};
    return 1;
}

/* The attribute's value, which the connection keeps alive; NULL with an exception. */
static PyObject *attribute(Core *core, PyObject *connection, int which) {
    PyObject *value = PyObject_GetAttr(connection, core->attributes[which]);
    Py_XDECREF(value);
    return value;
}

/* Whether Python has read all that it has received on this connection. */
static int holds_nothing(Core *core, PyObject *connection) {
    PyObject *buffer = attribute(core, connection, UNREAD);
    PyObject *at = attribute(core, connection, UNREAD_AT);
    Text text;
    return attribute(core, connection, JOURNAL) == Py_None && at != NULL &&
           plain_bytes(buffer, &text) && PyLong_AsSsize_t(at) == (Py_ssize_t)text.length;
}

/* fetch(connection): True when the event is in `event`. None when Python has to find out: it finds
 * what has been received. */
static PyObject *core_fetch(PyObject *self, PyObject *connection) {
    Core *core = (Core *)self;
    Head head;
    size_t end;
    int places[IN_HEADERS];
    if (is_there(core->event)) { /* something was raised when it was given: see ManagedClient */
        if (core->slot != NULL) core->slot[STATE] = BUSY;
        return truth(1);
    }
    core->recorded = 0;
    if (!may_speak(core) || core->descriptor < 0 || core->kind == NULL ||
        attribute(core, connection, FOLLOWING) != Py_True || !holds_nothing(core, connection))
        return left_to_python();
    core->event_end = 0;
    settle_answer(core);
    int found = await_reply(core, &head, "HTTP/1.1 200 ", &end);
    if (found < 0) return found == FAILED ? left_to_python() : NULL;
    /* What follows an event is said out of turn. */
    if (found == UNUSUAL || end != core->end || !find_fields(&head, places)) return none();
    Text nothing = {NULL, 0};
    unsigned long long deadline =
        parse_deadline(places[DEADLINE] < 0 ? nothing : head.fields[2 * places[DEADLINE] + 1]);
    PyObject *event = make_event(core, &head, places, deadline);
    if (event == NULL || PyObject_SetAttr(connection, core->attributes[FOLLOWING], Py_False) < 0) {
        Py_XDECREF(event);
        return left_to_python();
    }
    if (core->slot != NULL)
        record(core, head.fields[2 * places[REQUEST_ID] + 1],
               places[INVOCATION_ID] < 0 ? nothing : head.fields[2 * places[INVOCATION_ID] + 1],
               deadline);
    core->start = end;
    replace(&core->event, event);
    return truth(1);
}

/* The text of a string that can stand in a request as it is; 0 if it cannot, or is none. */
static int plain_text(PyObject *object, int is_segment, Text *text) {
    Py_ssize_t length;
    if (object->ob_type != &PyUnicode_Type) return 0; /* a subclass may show itself otherwise */
    text->at = PyUnicode_AsUTF8AndSize(object, &length);
    if (text->at == NULL) return PyErr_Clear(), 0;
    text->length = (size_t)length;
    const char *at = text->at, *end = at + length;
    if (!is_segment) return skip_printable(at, end) == end;
    while (at < end && is_name(*at)) at++;
    return at == end;
}

/* Write the parts to `message`, one after the other; 0 if they are too long. */
static int compose(Core *core, const Text *parts, int count) {
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].length > CAPACITY - length) return 0;
        if (parts[i].length > 0) memcpy(core->message + length, parts[i].at, parts[i].length);
        length += parts[i].length;
    }
    core->length = length;
    return 1;
}

static Text decimal(size_t number, char *digits, size_t size) {
    char *at = digits + size;
    do *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return (Text){at, (size_t)(digits + size - at)};
}

/* The bytes that `LambdaRuntimeClient` sends for such an answer; 0 if it is not a plain one. */
static int write_answer(Core *core, PyObject *const *arguments, int following) {
    Text id, body, type, echo = {NULL, 0}, common, next;
    char digits[24];
    int echoes = arguments[4] != Py_None;
    if (!plain_text(arguments[1], 1, &id) || id.length == 0) return 0;
    if (!plain_bytes(arguments[2], &body) || body.length >= LONGEST_ANSWER) return 0;
    if (!plain_text(arguments[3], 0, &type)) return 0;
    if (echoes && !plain_text(arguments[4], 0, &echo)) return 0;
    if (!plain_bytes(core->common, &common) || !plain_bytes(core->next, &next)) return 0;
    echoes = echo.length > 0;
    Text parts[] = {
        TEXT("POST /2018-06-01/runtime/invocation/"),
        id,
        TEXT("/response HTTP/1.1\r\n"),
        common,
        TEXT("Content-Type: "),
        type,
        TEXT("\r\n"),
        echoes ? (Text)TEXT("Lambda-Runtime-Invocation-Id: ") : echo,
        echo,
        echoes ? (Text)TEXT("\r\n") : echo,
        TEXT("Content-Length: "),
        decimal(body.length, digits, sizeof digits),
        TEXT("\r\n\r\n"),
        body,
        following ? next : (Text){NULL, 0},
    };
    if (!compose(core, parts, sizeof parts / sizeof *parts)) return 0;
    core->follows_at = core->length - (following ? next.length : 0);
    return 1;
}

/* Keep what a signal handler has raised: it does not stop the answer. 0 if the wire has failed, or
 * if it is one too many. */
static int keep_raised(Core *core, int result, int *interruptions) {
    if (result == FAILED || ++*interruptions == MOST_INTERRUPTIONS) {
        PyErr_Clear();
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    if (is_there(core->raised)) Py_XDECREF(value);
    else replace(&core->raised, value);
    return 1;
}

/* What has been sent of the answer is not sent again, whatever comes in between. */
static PyObject *leave_unfinished(Core *core, PyObject *connection) {
    if (PyObject_SetAttr(connection, core->attributes[UNFINISHED], Py_True) < 0) PyErr_Clear();
    return none();
}

/* answer(connection, request_id, body, content_type, invocation_id, following): True when it is
 * accepted. None when it is left to Python, wholly, or from what has been sent on. */
static PyObject *core_answer(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Core *core = (Core *)self;
    Head head;
    size_t end;
    int interruptions = 0, sent, found;
    if (count != 6)
        return PyErr_SetString(PyExc_TypeError, "answer(connection, request_id, body, content_type,"
                                                " invocation_id, following)"), NULL;
    int following = arguments[5] == Py_True;
    if (!may_speak(core) || !holds_nothing(core, arguments[0]) ||
        attribute(core, arguments[0], UNFINISHED) == Py_True)
        return left_to_python();
    settle_answer(core);
    replace(&core->raised, NULL);
    core->sent = 0;
    if (!is_quiet(core) || !write_answer(core, arguments, following)) return none();
    while ((sent = send_request(core, core->message, (Py_ssize_t)core->length)) < 0)
        if (!keep_raised(core, sent, &interruptions)) return none();
    if (sent == 0) return none();
    if (core->sent != (Py_ssize_t)core->length) return leave_unfinished(core, arguments[0]);
    while ((found = await_reply(core, &head, "HTTP/1.1 202 ", &end)) < 0)
        if (!keep_raised(core, found, &interruptions)) return leave_unfinished(core, arguments[0]);
    if (found == UNUSUAL) return leave_unfinished(core, arguments[0]);
    core->answer_end = end;
    if (!is_as_expected(core, following) ||
        PyObject_SetAttr(arguments[0], core->attributes[HAS_BEGUN], Py_True) < 0 ||
        PyObject_SetAttr(arguments[0], core->attributes[FOLLOWING], following ? Py_True : Py_False) < 0) {
        core->answer_end = 0;
        PyErr_Clear();
        return leave_unfinished(core, arguments[0]);
    }
    return truth(1);
}

/* begun(): the answer that `answer` has begun, and the request that follows it. As long as the
 * connection is marked, `sent` holds for the two, and `exchange` goes on with them. */
static PyObject *core_begun(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    size_t at = core->follows_at;
    PyObject *answer = PyBytes_FromStringAndSize(core->message, (Py_ssize_t)at);
    PyObject *following =
        PyBytes_FromStringAndSize(core->message + at, (Py_ssize_t)(core->length - at));
    PyObject *both =
        answer == NULL || following == NULL ? NULL : PyTuple_Pack(2, answer, following);
    Py_XDECREF(answer);
    Py_XDECREF(following);
    return both;
}

/* The last event has been answered: it is in flight no more. */
static PyObject *core_clear(PyObject *self, PyObject *unused) {
    Core *core = (Core *)self;
    (void)unused;
    if (core->slot != NULL) put_number(current_entry(core), 0, 2);
    return none();
}

/* prepare(common, next, kind): what `fetch` and `answer` need. */
static PyObject *core_prepare(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Core *core = (Core *)self;
    Text text;
    if (count != 3 || !plain_bytes(arguments[0], &text) || !plain_bytes(arguments[1], &text) ||
        !PyType_IsSubtype(arguments[2]->ob_type, &PyType_Type))
        return PyErr_SetString(PyExc_TypeError, "prepare(common, next, kind)"), NULL;
    PyTypeObject *kind = (PyTypeObject *)arguments[2];
    Py_ssize_t places[FIELDS];
    for (int field = 0; field < FIELDS; field++)
        if ((places[field] = place_of(kind, FIELD_NAMES[field])) == 0)
            return PyErr_Format(PyExc_TypeError, "no slot %s", FIELD_NAMES[field]);
    memcpy(core->places, places, sizeof places);
    for (int i = 0; i < 3; i++) Py_INCREF(arguments[i]);
    replace(&core->common, arguments[0]);
    replace(&core->next, arguments[1]);
    replace((PyObject **)&core->kind, (PyObject *)kind);
    return none();
}

/* record_in(memory, at): record events in the slot that is there. */
static PyObject *core_record_in(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Core *core = (Core *)self;
    long at = count == 2 ? PyLong_AsLong(arguments[1]) : -1;
    if (at < 0 || core->slot != NULL) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "record_in(memory, at), once");
        return NULL;
    }
    if (PyObject_GetBuffer(arguments[0], &core->memory, PyBUF_WRITABLE) < 0) return NULL;
    if (core->memory.len < SLOT_SIZE || at > core->memory.len - SLOT_SIZE) {
        PyBuffer_Release(&core->memory);
        return PyErr_SetString(PyExc_ValueError, "no slot there"), NULL;
    }
    core->slot = (unsigned char *)core->memory.buf + at;
    return none();
}

/* Variables that get a new value with every invocation: only _X_AMZN_TRACE_ID. The C library would
 * keep all its values for ever, so that it is given this memory, and finds each value in it. */

#define TRACE_ID_NAME "_X_AMZN_TRACE_ID"
static char trace_line[4096] = TRACE_ID_NAME "=";

static int holds_trace_line(void) {
    if (environ != NULL)
        for (char **line = environ; *line != NULL; line++)
            if (*line == trace_line) return 1;
    return 0;
}

/* Whether os.environ, if os is loaded, is the interpreter's own object over these variables, so that
 * it shows them. -1 with an exception. */
static int shows(Core *core, PyObject *modules, PyObject *variables) {
    PyObject *os = PyDict_GetItemWithError(modules, core->environment[OS]); /* borrowed */
    if (os == NULL) return PyErr_Occurred() ? -1 : 1;
    PyObject *shown = PyObject_GetAttr(os, core->environment[ENVIRON]);
    PyObject *kind = shown == NULL ? NULL : PyObject_GetAttr(os, core->environment[ENVIRON_TYPE]);
    int is_usual = kind == NULL ? -1 : (PyObject *)shown->ob_type == kind;
    if (is_usual > 0) {
        PyObject *data = PyObject_GetAttr(shown, core->environment[DATA]);
        is_usual = data == NULL ? -1 : data == variables;
        Py_XDECREF(data);
    }
    Py_XDECREF(shown);
    Py_XDECREF(kind);
    return is_usual;
}

/* put_trace_id(value, variables, modules): put it also into the dictionary posix.environ. False if
 * that is not all there is to do, and nothing has been done. */
static PyObject *core_put_trace_id(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    enum { START = sizeof TRACE_ID_NAME };
    Core *core = (Core *)self;
    Text value;
    if (count != 3)
        return PyErr_SetString(PyExc_TypeError, "put_trace_id(value, variables, modules)"), NULL;
    if (!plain_text(arguments[0], 0, &value) || value.length >= sizeof trace_line - START ||
        shows(core, arguments[2], arguments[1]) <= 0)
        return PyErr_Clear(), truth(0);
    PyObject *raw = PyBytes_FromStringAndSize(value.at, (Py_ssize_t)value.length);
    int put = raw != NULL && PyDict_SetItem(arguments[1], core->trace_id, raw) == 0;
    Py_XDECREF(raw);
    if (!put) return NULL;
    memcpy(trace_line + START, value.at, value.length);
    trace_line[START + value.length] = 0;
    if (!holds_trace_line() && putenv(trace_line) != 0) return PyErr_NoMemory();
    return truth(1);
}

static int intern_all(const char *const *names, PyObject **strings, int count) {
    for (int i = 0; i < count; i++)
        if ((strings[i] = PyUnicode_InternFromString(names[i])) == NULL) return 0;
    return 1;
}

static void release_all(PyObject **objects, int count) {
    for (int i = 0; i < count; i++) Py_XDECREF(objects[i]);
}

static void release_turns(Core *core) {
    PyObject *objects[] = {core->common, core->next,   (PyObject *)core->kind,
                           core->event,  core->raised, core->trace_id};
    release_all(objects, sizeof objects / sizeof *objects);
    release_all(core->attributes, ATTRIBUTES);
    release_all(core->environment, ENVIRONMENTS);
    if (core->slot != NULL) PyBuffer_Release(&core->memory);
    free(core->message);
}

static int prepare_turns(Core *core) {
    core->message = malloc(CAPACITY);
    if (core->message == NULL) return PyErr_NoMemory(), 0;
    return intern_all(ATTRIBUTE_NAMES, core->attributes, ATTRIBUTES) &&
           intern_all(ENVIRONMENT_NAMES, core->environment, ENVIRONMENTS) &&
           (core->trace_id = PyBytes_FromStringAndSize(TRACE_ID_NAME, sizeof TRACE_ID_NAME - 1));
}

static PyObject *core_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    (void)arguments;
    (void)keywords;
    Core *core = (Core *)PyType_GenericAlloc(type, 0); /* all of it zero */
    if (core == NULL) return NULL;
    core->descriptor = -1;
    core->owner = (int)getpid();
    core->not_forked = mark_process();
    core->buffer = malloc(CAPACITY);
    if (core->buffer == NULL) {
        Py_DECREF(core);
        return PyErr_NoMemory();
    }
    if (!prepare_turns(core)) {
        Py_DECREF(core);
        return NULL;
    }
    return (PyObject *)core;
}

static void core_dealloc(PyObject *self) {
    Core *core = (Core *)self;
    PyTypeObject *type = self->ob_type;
    for (int i = 0; i < MOST_HEADERS; i++) {
        Py_XDECREF(core->headers[i].raw);
        Py_XDECREF(core->headers[i].name);
        Py_XDECREF(core->headers[i].value);
    }
    release_turns(core);
    free(core->buffer);
    if (core->not_forked != NULL) munmap(core->not_forked, PAGE);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"begin", core_begin, METH_NOARGS, "A new exchange begins: nothing of it has been sent."},
    {"exchange", (PyCFunction)(void *)core_exchange, METH_FASTCALL, "exchange(request, following)"},
    {"poll", core_poll, METH_NOARGS, "The headers and the body of the reply under way."},
    {"settle", core_settle, METH_NOARGS, "The reply that poll gave has been taken."},
    {"unread", core_unread, METH_NOARGS, "What has been received and not been read."},
    {"attach", core_attach, METH_O, "attach(descriptor), -1 for none: then the bytes stay."},
    {"drop", core_drop, METH_NOARGS, "Forget what has been received."},
    {"fetch", core_fetch, METH_O, "fetch(connection): whether the event has come"},
    {"answer", (PyCFunction)(void *)core_answer, METH_FASTCALL, "Whether it is accepted."},
    {"begun", core_begun, METH_NOARGS, "The answer that has been begun, and what follows it."},
    {"put_trace_id", (PyCFunction)(void *)core_put_trace_id, METH_FASTCALL, "Whether it is set."},
    {"clear", core_clear, METH_NOARGS, "The last event has been answered."},
    {"prepare", (PyCFunction)(void *)core_prepare, METH_FASTCALL, "prepare(common, next, kind)"},
    {"record_in", (PyCFunction)(void *)core_record_in, METH_FASTCALL, "record_in(memory, at)"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"sent", T_PYSSIZET_, offsetof(Core, sent), READ_ONLY, NULL},
    {"waiting", T_CHAR_BOOL, offsetof(Core, waiting), READ_ONLY, NULL},
    {"recorded", T_CHAR_BOOL, offsetof(Core, recorded), 0, NULL},
    {"event", T_OBJECT_, offsetof(Core, event), 0, NULL},
    {"raised", T_OBJECT_, offsetof(Core, raised), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)core_new},
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {"lambda_runtime.core.Core", sizeof(Core), 0, Py_TPFLAGS_DEFAULT, slots};

static int is_digit(char byte) { return byte >= '0' && byte <= '9'; }

/* Whether a document holds 19 digits in a row. Every such run covers a place of each stride. */
static PyObject *has_long_number(PyObject *module, PyObject *document) {
    enum { LONG = 19 };
    char *text;
    Py_ssize_t length;
    (void)module;
    if (PyType_IsSubtype(document->ob_type, &PyByteArray_Type)) {
        text = PyByteArray_AsString(document);
        length = PyByteArray_Size(document);
    } else if (PyBytes_AsStringAndSize(document, &text, &length) < 0) {
        return NULL;
    }
    for (Py_ssize_t at = LONG - 1; at < length; at += LONG) {
        Py_ssize_t first = at, last = at;
        while (last < length && is_digit(text[last])) last++;
        if (last == at) continue;
        while (first > 0 && is_digit(text[first - 1])) first--;
        if (last - first >= LONG) return truth(1);
    }
    return truth(0);
}

static PyObject *are_open(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return truth(fcntl(1, F_GETFL) >= 0 && fcntl(2, F_GETFL) >= 0);
}

/* Lines of output.
 *
 * `print` writes a text and then the line's end, and with a stream of `io` each of them goes through
 * several objects. `write` and `flush` stand in for those of a stream that has UTF-8 and keeps
 * nothing but the beginning of a line: so does `write`, and gives the whole line to the kernel in
 * one call. It leaves to the stream what is not a plain text of ordinary length.
 *
 * Theory of operation: what is in the stream. Others may write there: through its buffer, or by a
 * method that they took before. So the buffer is flushed before each line, which also shows whether
 * it is closed; the stream is one that keeps no text itself (`write_through`). And what the kernel
 * does not take becomes the buffer's: then it deals with errors, signals and a descriptor that does
 * not block, and keeps the text, as it always does.
 *
 * Of a line whose beginning was left to the stream, the rest is left to it too: it joins them.
 *
 * While a call is under way another thread may write, or a signal handler. So the beginning of the
 * line is taken from `line` before any call. */

enum { LONGEST_LINE = 4096 };

typedef struct {
    PyObject_HEAD
    int descriptor;
    char aside;                             /* whether the stream does all of it */
    char joins;                             /* whether its buffer may have the beginning of a line */
    PyObject *write, *flush;                /* the stream's own methods */
    PyObject *buffer_write, *buffer_flush;  /* its buffer's */
    size_t kept;
    char line[LONGEST_LINE];                /* the beginning of a line, `kept` bytes */
} Output;

static int succeeded(PyObject *result) {
    Py_XDECREF(result);
    return result != NULL;
}

static PyObject *call(PyObject *method, PyObject *argument) {
    return PyObject_CallFunctionObjArgs(method, argument, NULL);
}

/* Give the stream the beginning of the line. False with an exception. */
static int give_kept(Output *output) {
    if (output->kept == 0) return 1;
    PyObject *text = to_string((Text){output->line, output->kept});
    if (text == NULL) return 0;
    output->kept = 0;
    int given = succeeded(call(output->write, text));
    Py_DECREF(text);
    return given;
}

/* Give the stream's buffer what could not be written. False with an exception. */
static int give_rest(Output *output, Text rest) {
    PyObject *bytes = PyBytes_FromStringAndSize(rest.at, (Py_ssize_t)rest.length);
    if (bytes == NULL) return 0;
    int given = succeeded(call(output->buffer_write, bytes));
    Py_DECREF(bytes);
    return given;
}

/* Write lines, after what is in the stream. False with an exception; then the buffer has them, if
 * it takes any. */
static int write_lines(Output *output, Text lines) {
    if (!succeeded(PyObject_CallNoArgs(output->buffer_flush))) {
        PyObject *kind, *error, *trace;
        PyErr_Fetch(&kind, &error, &trace);
        if (!give_rest(output, lines)) PyErr_Clear();
        PyErr_Restore(kind, error, trace);
        return 0;
    }
    PyThreadState *state = PyEval_SaveThread();
    ssize_t written = write(output->descriptor, lines.at, lines.length);
    PyEval_RestoreThread(state);
    if (written == (ssize_t)lines.length) return 1;
    size_t done = written < 0 ? 0 : (size_t)written;
    return give_rest(output, (Text){lines.at + done, lines.length - done}) &&
           PyErr_CheckSignals() == 0 && succeeded(PyObject_CallNoArgs(output->buffer_flush));
}

/* The text in UTF-8. False without an exception if the stream has to deal with it. */
static int read_text(PyObject *object, Text *text) {
    Py_ssize_t length;
    if (object->ob_type != &PyUnicode_Type || PyUnicode_GetLength(object) > LONGEST_LINE) return 0;
    text->at = PyUnicode_AsUTF8AndSize(object, &length);
    text->length = (size_t)length;
    if (text->at == NULL) PyErr_Clear(); /* the stream knows what to do with a lone surrogate */
    return text->at != NULL;
}

/* Whether a line-buffered stream would write now. */
static int ends_line(Text text) {
    return memchr(text.at, '\n', text.length) != NULL || memchr(text.at, '\r', text.length) != NULL;
}

static PyObject *output_write(PyObject *self, PyObject *object) {
    Output *output = (Output *)self;
    char lines[LONGEST_LINE];
    size_t before = output->kept;
    Text text;
    int is_plain = read_text(object, &text);
    if (output->aside || output->joins || !is_plain || text.length > LONGEST_LINE - before) {
        if (!give_kept(output)) return NULL;
        output->joins = !is_plain || !ends_line(text);
        return call(output->write, object);
    }
    if (!ends_line(text)) {
        memcpy(output->line + before, text.at, text.length);
        output->kept += text.length;
    } else {
        if (before != 0) {
            memcpy(lines, output->line, before);
            memcpy(lines + before, text.at, text.length);
            text = (Text){lines, before + text.length};
            output->kept = 0;
        }
        if (!write_lines(output, text)) return NULL;
    }
    return PyLong_FromSsize_t(PyUnicode_GetLength(object));
}

static PyObject *output_flush(PyObject *self, PyObject *unused) {
    Output *output = (Output *)self;
    (void)unused;
    if (!give_kept(output)) return NULL;
    output->joins = 0;
    return PyObject_CallNoArgs(output->flush);
}

static PyObject *output_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    int descriptor;
    PyObject *write, *flush, *buffer_write, *buffer_flush;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "iOOOO", &descriptor, &write, &flush, &buffer_write, &buffer_flush))
        return NULL;
    Output *output = (Output *)PyType_GenericAlloc(type, 0);
    if (output == NULL) return NULL;
    output->descriptor = descriptor;
    Py_INCREF(output->write = write);
    Py_INCREF(output->flush = flush);
    Py_INCREF(output->buffer_write = buffer_write);
    Py_INCREF(output->buffer_flush = buffer_flush);
    return (PyObject *)output;
}

static void output_dealloc(PyObject *self) {
    Output *output = (Output *)self;
    PyTypeObject *type = self->ob_type;
    Py_XDECREF(output->write);
    Py_XDECREF(output->flush);
    Py_XDECREF(output->buffer_write);
    Py_XDECREF(output->buffer_flush);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef output_methods[] = {
    {"write", output_write, METH_O, "Write the text, at the latest with the end of its line."},
    {"flush", output_flush, METH_NOARGS, "Write what is kept, and what is in the stream."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef output_members[] = {
    {"aside", T_CHAR_BOOL, offsetof(Output, aside), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot output_slots[] = {
    {Py_tp_new, (void *)output_new},
    {Py_tp_dealloc, (void *)output_dealloc},
    {Py_tp_methods, output_methods},
    {Py_tp_members, output_members},
    {0, NULL},
};

static PyType_Spec output_spec = {
    "lambda_runtime.core.Output", sizeof(Output), 0, Py_TPFLAGS_DEFAULT, output_slots,
};

/* The module. */

static int add_type(PyObject *module, PyType_Spec *type_spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, type_spec, NULL);
    if (type == NULL) return -1;
    int added = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return added;
}

static int add_types(PyObject *module) {
    return add_type(module, &spec) < 0 ? -1 : add_type(module, &output_spec);
}

static PyMethodDef functions[] = {
    {"has_long_number", has_long_number, METH_O, "Whether 19 digits stand in a row."},
    {"are_open", are_open, METH_NOARGS, "Whether standard output and error are open."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)add_types}, {0, NULL}};

static PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "lambda_runtime.core",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit_core(void) { return PyModuleDef_Init(&module); }
