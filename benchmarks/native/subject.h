/* Starts, watches and traces the measured process, and kills its whole group at the end. */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct subject {
    pid_t pid;
    int output;           /* read end of its stdout and stderr */
    uint64_t *exec_at;    /* written by the child right before exec */
    long output_lines;
    char tail[2048];      /* the end of its output, for the error message */
    size_t tail_length;
};

struct memory {
    long resident_kb, proportional_kb, processes;
};

void subject_start(struct subject *subject, char **argv, int traced);
void subject_kill(struct subject *subject);
int subject_read(struct subject *subject);  /* once: 0 when every writer has closed, -1 when empty */
int subject_drain(struct subject *subject); /* until it is empty; 0 when every writer has closed */

/* User and system time, in nanoseconds, and memory, of all processes of its group. */
uint64_t subject_cpu(const struct subject *subject);
struct memory subject_memory(const struct subject *subject);

/* Runs a traced subject until `done` says so after one of its system calls, or until it exits; returns the number of system
 * calls it entered since exec. */
long subject_count_calls(struct subject *subject, int (*done)(void));

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
