#define _GNU_SOURCE
#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

static _Noreturn void become(struct subject *subject, char **argv, int output, int traced) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the subject dies with the stub */
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(output, 1);
    dup2(output, 2);
    if (traced) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) {
            perror("ptrace");
            _exit(126);
        }
        raise(SIGSTOP);
    }
    *subject->exec_at = read_clock(CLOCK_MONOTONIC);
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* The stub and the subject take turns, so they cannot use more than one processor. On two, the figures would mostly measure how
 * long one takes to wake the other. */
static void pin_to_one_processor(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    int last = CPU_SETSIZE - 1;
    while (last > 0 && !CPU_ISSET(last, &allowed)) last--;
    CPU_ZERO(&allowed);
    CPU_SET(last, &allowed);
    sched_setaffinity(0, sizeof allowed, &allowed);
}

void subject_start(struct subject *subject, char **argv, int traced) {
    int ends[2];
    pin_to_one_processor();
    subject->exec_at = mmap(NULL, sizeof *subject->exec_at, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (subject->exec_at == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0) fail("pipe: %m");
    subject->pid = fork();
    if (subject->pid < 0) fail("fork: %m");
    if (subject->pid == 0) become(subject, argv, ends[1], traced);
    setpgid(subject->pid, subject->pid);
    close(ends[1]);
    subject->output = ends[0];
    fcntl(subject->output, F_SETFL, O_NONBLOCK);
}

void subject_kill(struct subject *subject) {
    if (subject->pid <= 0) return;
    kill(-subject->pid, SIGKILL);
    /* A process ends after its threads. Those that are traced end when the stub has waited for them. */
    for (pid_t ended = 0; ended != subject->pid;)
        if ((ended = waitpid(-1, NULL, __WALL)) < 0 && errno != EINTR) break;
    subject->pid = 0;
}

static void remember(struct subject *subject, const char *data, size_t length) {
    size_t room = sizeof subject->tail - 1;
    if (length > room) {
        data += length - room;
        length = room;
    }
    size_t keep = subject->tail_length;
    if (keep + length > room) keep = room - length;
    memmove(subject->tail, subject->tail + subject->tail_length - keep, keep);
    memcpy(subject->tail + keep, data, length);
    subject->tail_length = keep + length;
    subject->tail[subject->tail_length] = 0;
}

int subject_read(struct subject *subject) {
    static char data[1 << 16];
    ssize_t got = read(subject->output, data, sizeof data);
    if (got > 0) {
        for (const char *at = data; (at = memchr(at, '\n', (size_t)(data + got - at))); at++)
            subject->output_lines++;
        remember(subject, data, (size_t)got);
    }
    return got < 0 ? -1 : got > 0;
}

int subject_drain(struct subject *subject) {
    int state;
    while ((state = subject_read(subject)) > 0) {
    }
    return state != 0;
}

static uint64_t cpu_of(pid_t pid) {
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? read_clock(clock) : 0;
}

static pid_t group_of(const char *pid) {
    char path[64], line[512];
    int group = 0;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0; /* the process has ended meanwhile */
    if (fgets(line, sizeof line, file) && strrchr(line, ')'))
        sscanf(strrchr(line, ')') + 1, " %*c %*d %d", &group);
    fclose(file);
    return group;
}

/* Calls `visit` with each process of the subject's group. */
static void each_process(const struct subject *subject, void (*visit)(pid_t pid, void *total), void *total) {
    DIR *processes = opendir("/proc");
    if (!processes) fail("/proc: %m");
    for (struct dirent *entry; (entry = readdir(processes));) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && group_of(entry->d_name) == subject->pid) visit(pid, total);
    }
    closedir(processes);
}

static void add_cpu(pid_t pid, void *total) { *(uint64_t *)total += cpu_of(pid); }

uint64_t subject_cpu(const struct subject *subject) {
    uint64_t total = 0;
    each_process(subject, add_cpu, &total);
    return total;
}

static void add_memory(pid_t pid, void *total) {
    struct memory *memory = total;
    char path[64], line[256];
    long kb;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (!file) return; /* the process has ended meanwhile */
    memory->processes++;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "Rss: %ld kB", &kb) == 1) memory->resident_kb += kb;
        if (sscanf(line, "Pss: %ld kB", &kb) == 1) memory->proportional_kb += kb;
    }
    fclose(file);
}

struct memory subject_memory(const struct subject *subject) {
    struct memory total = {0, 0, 0};
    each_process(subject, add_memory, &total);
    return total;
}

static void begin_trace(struct subject *subject) {
    int status;
    if (waitpid(subject->pid, &status, 0) < 0 || !WIFSTOPPED(status)) {
        subject_drain(subject);
        fail("system calls cannot be counted here (is ptrace permitted?): %s", subject->tail);
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC |
                   PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    if (ptrace(PTRACE_SETOPTIONS, subject->pid, 0, options) != 0) fail("ptrace: %m");
    ptrace(PTRACE_SYSCALL, subject->pid, 0, 0);
}

static int enters_call(pid_t task) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, task, sizeof info, &info) < 0)
        fail("system calls cannot be counted here: it takes Linux 5.3 or newer");
    return info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

long subject_count_calls(struct subject *subject, int (*done)(void)) {
    long calls = 0;
    int in_subject = 0; /* the calls between fork and exec belong to the stub, not to the subject */
    begin_trace(subject);
    for (;;) {
        int status, signal = 0;
        pid_t task = waitpid(-1, &status, __WALL);
        if (task < 0) fail("the subject was lost: %m");
        if (!WIFSTOPPED(status)) {
            if (task == subject->pid) break;
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (enters_call(task))
                calls += in_subject;
            else if (in_subject && done())
                return calls;
        } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            in_subject = 1;
        } else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP) {
            signal = WSTOPSIG(status); /* the subject's own signal: deliver it */
        }
        ptrace(PTRACE_SYSCALL, task, 0, signal);
    }
    subject->pid = 0;
    return calls;
}
