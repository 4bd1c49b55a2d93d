/* A workload for places that have no shell: images from scratch, and machines whose only other program is the agent.
 *
 * Built static by tests/boot/probe.rs. What it is asked to do are its arguments, one word each, with a number behind some. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* The kernel gives what is written there the time on its own clock, beside its "Run /init". */
static void stamp(void) {
    int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (log < 0) return;
    static const char text[] = "probe: first instruction\n";
    if (write(log, text, sizeof text - 1) < 0) perror("kmsg");
    close(log);
}

static void print_environment(void) {
    for (char **entry = environ; *entry; entry++) printf("%s\n", *entry);
}

static void print_file(const char *path) {
    char buffer[4096];
    FILE *file = fopen(path, "r");
    if (!file) { perror(path); return; }
    for (size_t read; (read = fread(buffer, 1, sizeof buffer, file)) > 0;) fwrite(buffer, 1, read, stdout);
    fclose(file);
}

/* Children of children that end at once, with nobody left to wait for them but the first process. */
static void orphans(int count) {
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (fork() == 0) _exit(0);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
}

static int zombies(void) {
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        char path[300], line[512] = "";
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (!file) continue;
        if (fgets(line, sizeof line, file)) {
            char *end = strrchr(line, ')');
            count += end && end[2] == 'Z';
        }
        fclose(file);
    }
    if (proc) closedir(proc);
    return count;
}

/* Until none is left, for two seconds at most. */
static void print_zombies(void) {
    int left = zombies();
    for (int i = 0; left && i < 200; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        left = zombies();
    }
    printf("zombies %d\n", left);
}

/* Waits for the signals that end things, and tells which one came. */
static int wait_for_the_end(void) {
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("ready\n");
    sigwait(&set, &number);
    printf("signal %d\n", number);
    return number;
}

/* Copies the environment to a page that nobody touches again: the one that the kernel put it on is the stack's. */
static void keep_environment(void) {
    size_t used = 0, size = 1 << 16;
    char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (char **entry = environ; page != MAP_FAILED && *entry && used < size; entry++)
        used += snprintf(page + used, size - used, "%s", *entry) + 1;
}

/* Makes the kernel swap out everybody who has not locked itself, until `swapped` KiB are used of what lies on a disk. */
static void press(const char *disk, long swapped) {
    if (swapon(disk, 0) != 0) { perror(disk); exit(1); }
    for (int i = 0; i < 4096; i++) {
        char *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED) break;
        memset(piece, i, 1 << 20);
        FILE *file = fopen("/proc/meminfo", "r");
        char line[200];
        long total = 0, left = 0, found;
        while (file && fgets(line, sizeof line, file)) {
            if (sscanf(line, "SwapTotal: %ld", &found) == 1) total = found;
            if (sscanf(line, "SwapFree: %ld", &found) == 1) left = found;
        }
        if (file) fclose(file);
        if (total - left >= swapped) break;
    }
}

int main(int count, char **words) {
    stamp();
    setvbuf(stdout, NULL, _IOLBF, 0);
    int status = 0;
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *next = i + 1 < count ? words[i + 1] : "0";
        if (!strcmp(word, "environment")) print_environment();
        else if (!strcmp(word, "file")) { print_file(next); i++; }
        else if (!strcmp(word, "exit")) { status = atoi(next); i++; }
        else if (!strcmp(word, "kill")) { kill(getpid(), atoi(next)); i++; }
        else if (!strcmp(word, "orphans")) { orphans(atoi(next)); i++; }
        else if (!strcmp(word, "zombies")) print_zombies();
        else if (!strcmp(word, "wait")) status = wait_for_the_end();
        else if (!strcmp(word, "keep")) keep_environment();
        else if (!strcmp(word, "lock")) { if (mlockall(MCL_CURRENT) != 0) perror("mlockall"); }
        else if (!strcmp(word, "press")) { press("/dev/ubda", atol(next)); i++; }
        else printf("argument %s\n", word);
    }
    return status;
}
