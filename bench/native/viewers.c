/* A swarm of viewers of MJPEG and event streams that costs almost no CPU: one thread, epoll, and pictures that are
 * thrown away inside the kernel (MSG_TRUNC) once their stamp was read.
 *
 *   viewers [--warm S] [--seconds S] [--never N] [--drip N] [--restless] [--seed N] HOST:PORT/PATH*COUNT …
 *
 * COUNT viewers watch each target. --never: more viewers that ask and then read nothing. --drip: more viewers that
 * read one byte a second. Both go to the first target. --restless: every viewer leaves after 0.2 to 8 seconds, half of
 * them by a reset, and comes back.
 * Prints one JSON object: what the swarm cost, and for each target the viewers' rates and the ages of the frames in
 * milliseconds. An age is the time from a frame's stamp until its last byte is read. The stamp is the comment
 * "TSNS:" + 16 hex digits (nanoseconds of the monotonic clock) at the JPEG's start, else the header X-Timestamp, else an
 * event's "captured_at" (both Unix seconds).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 8192  /* an answer's or a part's headers, or one event */
#define STAMP_BYTES 64   /* of a JPEG, in which the comment stands */
#define SCRATCH (1 << 20)
#define AGES (1 << 21)   /* kept a target at most */
#define TURN 8           /* reads of one viewer before the others have theirs */
#define TARGETS 64

enum kind { GOOD, NEVER, DRIP };
enum state { ANSWER, HEAD, STAMP, BODY, SCAN, EVENTS, GONE };

struct target {
    struct sockaddr_in address;
    char request[1024];
    int viewers;
    float *ages, *inference;
    long age_count, inference_count;
};

struct viewer {
    struct target *target;
    enum kind kind;
    enum state state;
    int fd, held, length_known;
    char head[HEAD_BYTES];
    long left, sequence;
    double stamp, inference;
    long frames, bytes, disordered, broken, endings, errors;
    double leave_at, return_at;
};

static char scratch[SCRATCH];
static int epoll, restless;

static double clock_of(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void) { return clock_of(CLOCK_MONOTONIC); }
static double between(double low, double high) { return low + (high - low) * drand48(); }

static void hang_up(struct viewer *v, int reset) {
    struct linger at_once = {1, 0};
    if (v->fd < 0) return;
    if (reset) setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(v->fd);
    v->fd = -1;
    v->state = GONE;
    if (restless) v->return_at = now() + between(0.05, 1.0);
}

static void call(struct viewer *v) {
    v->fd = socket(AF_INET, SOCK_STREAM, 0);
    v->held = 0;
    v->sequence = -1;
    v->state = ANSWER;
    if (v->kind != GOOD) {
        int small = 4096; /* what the kernel takes for them must not hide that they do not read */
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    size_t length = strlen(v->target->request);
    if (v->fd < 0 || connect(v->fd, (struct sockaddr *)&v->target->address, sizeof v->target->address) ||
        send(v->fd, v->target->request, length, MSG_NOSIGNAL) != (ssize_t)length) {
        v->errors++, hang_up(v, 0);
        return;
    }
    fcntl(v->fd, F_SETFL, O_NONBLOCK);
    if (v->kind == GOOD) {
        struct epoll_event event = {EPOLLIN, {.ptr = v}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &event);
    }
    v->leave_at = restless ? now() + between(0.2, 8.0) : 1e18;
}

static void note(struct viewer *v, double age_seconds) {
    struct target *t = v->target;
    v->frames++;
    if (t->age_count < AGES && v->stamp > 0) t->ages[t->age_count++] = (float)(age_seconds * 1000);
    if (t->inference_count < AGES && v->inference >= 0) t->inference[t->inference_count++] = (float)v->inference;
}

static void note_sequence(struct viewer *v, long sequence) {
    if (sequence <= v->sequence) v->disordered++;
    v->sequence = sequence;
}

static double number_after(const char *text, const char *word, double otherwise) {
    const char *at = strcasestr(text, word);
    return at ? atof(at + strlen(word)) : otherwise;
}

/* Reads into `head` until a blank line stands in it. 1 when it does; 0 when more is to come; -1 when the stream ended.
 * What follows the blank line stays in the kernel. */
static int read_head(struct viewer *v) {
    ssize_t got = recv(v->fd, v->head + v->held, (size_t)(HEAD_BYTES - 1 - v->held), MSG_PEEK);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    int total = v->held + (int)got;
    v->head[total] = 0;
    char *end = memmem(v->head, (size_t)total, "\r\n\r\n", 4);
    int take = end ? (int)(end + 4 - v->head) - v->held : (int)got;
    v->bytes += recv(v->fd, scratch, (size_t)take, 0);
    if (!end) {
        v->held = total;
        if (total >= HEAD_BYTES - 1) v->held = 0, v->broken++;
        return 0;
    }
    *end = 0;
    v->held = 0;
    return 1;
}

static int take_answer(struct viewer *v) {
    int whole = read_head(v);
    if (whole <= 0) return whole;
    if (!strstr(v->head, " 200")) return -2;
    v->state = strcasestr(v->head, "text/event-stream") ? EVENTS : HEAD;
    return 1;
}

static int take_head(struct viewer *v) {
    int whole = read_head(v);
    if (whole <= 0) return whole;
    v->left = (long)number_after(v->head, "content-length:", -1);
    if (v->left < 0) { /* a part without its length: from here on pictures are told by their headers */
        v->state = strcasestr(v->head, "image/jpeg") ? SCAN : HEAD;
        return 1;
    }
    if (!strstr(v->head, "--")) v->broken++;
    v->stamp = number_after(v->head, "x-timestamp:", -1);
    if (v->stamp > 0) v->stamp -= clock_of(CLOCK_REALTIME) - now(); /* everything else is monotonic */
    v->inference = number_after(v->head, "x-inference-ms:", -1);
    double sequence = number_after(v->head, "x-frame:", -1);
    if (sequence >= 0) note_sequence(v, (long)sequence);
    v->state = STAMP;
    return 1;
}

static double stamp_in(const char *bytes, size_t length) {
    const char *mark = memmem(bytes, length, "TSNS:", 5);
    if (!mark || mark + 21 > bytes + length) return -1;
    char digits[17] = {0};
    memcpy(digits, mark + 5, 16);
    return (double)strtoull(digits, NULL, 16) / 1e9;
}

static int take_stamp(struct viewer *v) {
    size_t wanted = v->left < STAMP_BYTES ? (size_t)v->left : STAMP_BYTES;
    ssize_t got = recv(v->fd, scratch, wanted, MSG_PEEK);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    if ((size_t)got < wanted) return 0;
    double stamp = stamp_in(scratch, wanted);
    if (stamp > 0) v->stamp = stamp;
    v->state = BODY;
    return 1;
}

static int take_body(struct viewer *v) {
    ssize_t got = recv(v->fd, NULL, (size_t)v->left, MSG_TRUNC);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    v->left -= got, v->bytes += got;
    if (v->left == 0) {
        note(v, now() - v->stamp);
        v->state = HEAD;
    }
    return 1;
}

/* Without lengths every byte must be looked at. A picture counts when the headers of the next begin. */
static int scan(struct viewer *v) {
    ssize_t got = recv(v->fd, scratch, SCRATCH, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    v->bytes += got;
    const char *at = scratch, *end = scratch + got;
    while ((at = memmem(at, (size_t)(end - at), "image/jpeg", 10))) {
        at += 10;
        v->stamp = v->inference = -1;
        note(v, 0);
    }
    return 1;
}

static int take_events(struct viewer *v) {
    ssize_t got = recv(v->fd, v->head + v->held, (size_t)(HEAD_BYTES - 1 - v->held), 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    v->bytes += got;
    v->held += (int)got;
    v->head[v->held] = 0;
    char *from = v->head, *end;
    while ((end = strstr(from, "\n\n"))) {
        *end = 0;
        char *data = strstr(from, "data:");
        if (data && strstr(data, "captured_at")) {
            v->stamp = number_after(data, "\"captured_at\":", -1);
            v->inference = number_after(data, "\"inference_ms\":", -1);
            note_sequence(v, (long)number_after(data, "\"sequence\":", -1));
            note(v, clock_of(CLOCK_REALTIME) - v->stamp);
        }
        from = end + 2;
    }
    v->held = (int)strlen(from);
    memmove(v->head, from, (size_t)v->held + 1);
    if (v->held >= HEAD_BYTES - 1) v->held = 0, v->broken++;
    return 1;
}

static void serve(struct viewer *v) {
    static int (*const step[])(struct viewer *) = {take_answer, take_head, take_stamp, take_body, scan, take_events};
    for (int turn = 0; turn < TURN * 4 && v->state != GONE; turn++) {
        int went = step[v->state](v);
        if (went == 0) return;
        if (went < 0) v->errors += went == -2, v->endings++, hang_up(v, 0);
    }
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *name, float *values, long count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
#define AT(q) (count ? values[(long)((double)(count - 1) * (q))] : -1)
    printf("\"%s\":{\"count\":%ld,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, count, AT(0.5), AT(0.9),
           AT(0.99), AT(1.0));
}

static void fail(const char *why, const char *what) {
    fprintf(stderr, "viewers: %s: %s\n", why, what);
    exit(2);
}

/* HOST:PORT/PATH*COUNT; HOST is an IPv4 address. */
static void read_target(struct target *t, const char *text) {
    char host[64];
    int port, used = 0;
    const char *count = strrchr(text, '*');
    if (sscanf(text, "%63[0-9.]:%d%n", host, &port, &used) != 2 || text[used] != '/' || !count)
        fail("a target is ADDRESS:PORT/PATH*COUNT", text);
    t->viewers = atoi(count + 1);
    t->address.sin_family = AF_INET;
    t->address.sin_port = htons((unsigned short)port);
    if (inet_pton(AF_INET, host, &t->address.sin_addr) != 1) fail("no address", host);
    snprintf(t->request, sizeof t->request,
             "GET %.*s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: viewers\r\nAccept: */*\r\n\r\n",
             (int)(count - text - used), text + used, host, port);
    t->ages = malloc(AGES * sizeof *t->ages);
    t->inference = malloc(AGES * sizeof *t->inference);
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_target(struct target *t, struct viewer *viewers, int count, double seconds) {
    float *rates = calloc((size_t)t->viewers + 1, sizeof *rates);
    long frames = 0, bytes = 0, disordered = 0, broken = 0, endings = 0, errors = 0;
    int n = 0;
    for (struct viewer *v = viewers; v < viewers + count; v++) {
        if (v->target != t || v->kind != GOOD) continue;
        rates[n++] = (float)((double)v->frames / seconds);
        frames += v->frames, bytes += v->bytes, disordered += v->disordered;
        broken += v->broken, endings += v->endings, errors += v->errors;
    }
    qsort(rates, (size_t)n, sizeof *rates, by_value);
    printf("{\"viewers\":%d,\"frames\":%ld,\"bytes\":%ld,\"fps_min\":%.3f,\"fps_median\":%.3f,\"fps_max\":%.3f,", n,
           frames, bytes, n ? rates[0] : 0, n ? rates[n / 2] : 0, n ? rates[n - 1] : 0);
    printf("\"disordered\":%ld,\"broken\":%ld,\"endings\":%ld,\"errors\":%ld,", disordered, broken, endings, errors);
    print_spread("age_ms", t->ages, t->age_count);
    printf(",");
    print_spread("inference_ms", t->inference, t->inference_count);
    printf("}");
    free(rates);
}

int main(int argc, char **argv) {
    static struct target targets[TARGETS];
    double warm = 1, seconds = 5;
    int never = 0, drip = 0, target_count = 0, good = 0;
    srand48(1);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!strcmp(word, "--restless")) { restless = 1; continue; }
        if (strncmp(word, "--", 2)) {
            if (target_count == TARGETS) fail("too many targets", word);
            read_target(&targets[target_count], word);
            good += targets[target_count++].viewers;
            continue;
        }
        if (i + 1 == argc) fail("an option needs a value", word);
        double value = atof(argv[++i]);
        if (!strcmp(word, "--warm")) warm = value;
        else if (!strcmp(word, "--seconds")) seconds = value;
        else if (!strcmp(word, "--never")) never = (int)value;
        else if (!strcmp(word, "--drip")) drip = (int)value;
        else if (!strcmp(word, "--seed")) srand48((long)value);
        else fail("unknown option", word);
    }
    if (!target_count) fail("no target", "give ADDRESS:PORT/PATH*COUNT");
    int count = good + never + drip;
    struct rlimit files = {(rlim_t)count + 64, (rlim_t)count + 64}, have;
    getrlimit(RLIMIT_NOFILE, &have);
    if (have.rlim_cur < files.rlim_cur) {
        if (have.rlim_max > files.rlim_max) files.rlim_max = have.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files)) fail("too few open files are allowed", "raise ulimit -n");
    }
    epoll = epoll_create1(0);
    struct viewer *viewers = calloc((size_t)count, sizeof *viewers);
    int made = 0;
    for (int n = 0; n < never + drip; n++, made++)
        viewers[made] = (struct viewer){.target = targets, .kind = n < never ? NEVER : DRIP, .fd = -1};
    for (int t = 0; t < target_count; t++)
        for (int n = 0; n < targets[t].viewers; n++, made++)
            viewers[made] = (struct viewer){.target = &targets[t], .kind = GOOD, .fd = -1};
    for (int n = 0; n < count; n++) {
        call(&viewers[n]);
        if (n % 16 == 15) usleep(2000); /* a burst of a thousand would fill the server's backlog */
    }
    double begun = now(), until = begun + warm + seconds, cpu_begun = cpu(), look = begun;
    int warming = 1;
    struct epoll_event events[256];
    for (double at = begun; at < until; at = now()) {
        if (warming && at >= begun + warm) {
            warming = 0, begun = at, until = at + seconds, cpu_begun = cpu();
            for (int n = 0; n < count; n++) viewers[n].frames = viewers[n].bytes = 0;
            for (int t = 0; t < target_count; t++) targets[t].age_count = targets[t].inference_count = 0;
            fprintf(stderr, "measuring\n");
        }
        int ready = epoll_wait(epoll, events, 256, 20);
        for (int n = 0; n < ready; n++) serve(events[n].data.ptr);
        if (at - look < (drip ? 1.0 : 0.05)) continue;
        look = at;
        for (int n = 0; n < count; n++) {
            struct viewer *v = &viewers[n];
            if (v->kind == DRIP && v->fd >= 0 && recv(v->fd, scratch, 1, MSG_DONTWAIT) == 0) v->endings++, hang_up(v, 0);
            if (!restless) continue;
            if (v->state == GONE && at > v->return_at) call(v);
            else if (v->state != GONE && at > v->leave_at) hang_up(v, drand48() < 0.5);
        }
    }
    double took = now() - begun, used = cpu() - cpu_begun;
    fprintf(stderr, "measured\n");
    printf("{\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"targets\":[", took, used);
    for (int t = 0; t < target_count; t++) {
        if (t) printf(",");
        print_target(&targets[t], viewers, count, took);
    }
    long cut = 0;
    for (int n = 0; n < never + drip; n++) {
        char byte; /* a viewer that never reads learns of its eviction only by asking */
        struct viewer *v = &viewers[n];
        if (v->fd < 0) { cut++; continue; }
        int broken = 0;
        socklen_t size = sizeof broken;
        getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &broken, &size);
        while (!broken && recv(v->fd, scratch, SCRATCH, MSG_DONTWAIT) > 0) continue;
        ssize_t left = recv(v->fd, &byte, 1, MSG_DONTWAIT);
        cut += broken || left == 0 || (left < 0 && errno != EAGAIN);
    }
    printf("],\"slow_cut\":%ld}\n", cut);
    return 0;
}
