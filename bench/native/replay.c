/* Many cameras in one cheap process: each listens on a port of its own and replays prepared pictures as Fogline's camera
 * nodes do, with true X-Timestamp and X-Frame stamps.
 *
 *   replay FRAMES FPS PORT…
 *
 * FRAMES: a file of pictures, each as a 32-bit length in host order and its bytes. FPS: of each camera; 0 sends as fast
 * as the viewers read. Answers /stream and /stream.jpg (MJPEG, newest picture wins), /image.jpg (the newest picture) and anything
 * else with an empty JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CAMERAS 64
#define FRAMES 1000
#define COMMENT 6        /* bytes before "TSNS:" in a picture: start of image, comment marker and length */
#define REQUEST_BYTES 4096
#define SEND_BUFFER (256 * 1024)

struct picture { unsigned char *bytes; unsigned length; };
struct camera { int listener; double next; double taken; unsigned long sequence; };
struct client {
    struct client *following; /* in the list of all */
    struct camera *camera;
    int fd, streaming, closed;
    char request[REQUEST_BYTES];
    int asked;
    unsigned char *out;
    size_t length, sent;
    unsigned long seen;
};

static struct picture pictures[FRAMES];
static int picture_count;
static size_t largest;
static struct camera cameras[CAMERAS];
static struct client *clients;
static double period;
static int epoll;

static double clock_of(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    unsigned length;
    if (!file) fail(path);
    while (picture_count < FRAMES && fread(&length, sizeof length, 1, file) == 1) {
        struct picture *p = &pictures[picture_count++];
        p->bytes = malloc(length);
        p->length = length;
        if (fread(p->bytes, 1, length, file) != length) fail("a picture is cut off");
        if (length > largest) largest = length;
    }
    fclose(file);
    if (!picture_count) fail("no pictures");
}

static void watch(int fd, void *who, unsigned what, int operation) {
    struct epoll_event event = {what, {.ptr = who}};
    epoll_ctl(epoll, operation, fd, &event);
}

/* Puts the newest picture with its headers into the client's buffer. */
static void prepare(struct client *c, const char *before) {
    struct camera *camera = c->camera;
    struct picture *p = &pictures[camera->sequence % (unsigned long)picture_count];
    int head = sprintf((char *)c->out,
                       "%sContent-Type: image/jpeg\r\nContent-Length: %u\r\nX-Timestamp: %.6f\r\nX-Frame: %lu\r\n\r\n",
                       before, p->length, camera->taken, camera->sequence);
    unsigned char *picture = c->out + head;
    memcpy(picture, p->bytes, p->length);
    if (p->length > COMMENT + 21 && !memcmp(picture + COMMENT, "TSNS:", 5)) {
        char digits[17];
        double ago = clock_of(CLOCK_REALTIME) - camera->taken;
        snprintf(digits, sizeof digits, "%016llx", (unsigned long long)((clock_of(CLOCK_MONOTONIC) - ago) * 1e9));
        memcpy(picture + COMMENT + 5, digits, 16);
    }
    memcpy(picture + p->length, "\r\n", 2);
    c->length = (size_t)head + p->length + (c->streaming ? 2 : 0);
    c->sent = 0;
    c->seen = camera->sequence;
}

static void push(struct client *c) {
    for (;;) {
        while (c->sent < c->length) {
            ssize_t went = send(c->fd, c->out + c->sent, c->length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (went < 0 && errno == EAGAIN) {
                watch(c->fd, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
                return;
            }
            if (went <= 0) { c->closed = 1; return; }
            c->sent += (size_t)went;
        }
        if (c->streaming && period <= 0) {
            c->camera->sequence++;
            c->camera->taken = clock_of(CLOCK_REALTIME);
            prepare(c, "--fogline-frame\r\n");
            continue;
        }
        watch(c->fd, c, EPOLLIN, EPOLL_CTL_MOD);
        return;
    }
}

static void answer(struct client *c) {
    if (!strncmp(c->request, "GET /stream", 11)) {
        static const char head[] =
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=fogline-frame\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n";
        c->streaming = 1;
        memcpy(c->out, head, sizeof head - 1);
        c->length = sizeof head - 1;
        c->sent = 0;
    } else if (!strncmp(c->request, "GET /image.jpg", 14)) {
        prepare(c, "HTTP/1.1 200 OK\r\n");
    } else {
        c->length = (size_t)sprintf((char *)c->out,
                                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
        c->sent = 0;
    }
    push(c);
}

static void hear(struct client *c) {
    ssize_t got = recv(c->fd, c->request + c->asked, (size_t)(REQUEST_BYTES - 1 - c->asked), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { c->closed = 1; return; }
    if (c->streaming) return;
    c->asked += (int)got;
    c->request[c->asked] = 0;
    if (strstr(c->request, "\r\n\r\n")) {
        c->asked = 0;
        answer(c);
    } else if (c->asked >= REQUEST_BYTES - 1) c->closed = 1;
}

static void welcome(struct camera *camera) {
    int fd = accept4(camera->listener, NULL, NULL, SOCK_NONBLOCK), size = SEND_BUFFER, on = 1;
    if (fd < 0) return;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct client *c = calloc(1, sizeof *c);
    *c = (struct client){.following = clients, .camera = camera, .fd = fd, .out = malloc(largest + 1024)};
    clients = c;
    watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
}

static void sweep(void) {
    for (struct client **at = &clients; *at;) {
        struct client *c = *at;
        if (!c->closed) { at = &c->following; continue; }
        *at = c->following;
        close(c->fd);
        free(c->out);
        free(c);
    }
}

static void tick(struct camera *camera) {
    camera->sequence++;
    camera->taken = clock_of(CLOCK_REALTIME);
    for (struct client *c = clients; c; c = c->following)
        if (c->camera == camera && c->streaming && !c->closed && c->sent == c->length) { /* else it misses this one */
            prepare(c, "--fogline-frame\r\n");
            push(c);
        }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) fail("cannot listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 4 || argc - 3 > CAMERAS) {
        fprintf(stderr, "replay FRAMES FPS PORT...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    load(argv[1]);
    double fps = atof(argv[2]), start = clock_of(CLOCK_MONOTONIC);
    int count = argc - 3;
    period = fps > 0 ? 1 / fps : 0;
    epoll = epoll_create1(0);
    for (int n = 0; n < count; n++) {
        cameras[n].listener = listen_on(atoi(argv[n + 3]));
        cameras[n].next = start + period * n / count; /* real cameras do not tick together */
        cameras[n].taken = clock_of(CLOCK_REALTIME);
        watch(cameras[n].listener, &cameras[n], EPOLLIN, EPOLL_CTL_ADD);
    }
    struct epoll_event events[256];
    for (;;) {
        double wake = clock_of(CLOCK_MONOTONIC) + 1;
        for (int n = 0; period > 0 && n < count; n++)
            if (cameras[n].next < wake) wake = cameras[n].next;
        double wait = wake - clock_of(CLOCK_MONOTONIC);
        struct timespec pause = {(time_t)(wait > 0 ? wait : 0), (long)((wait > 0 ? wait - (time_t)wait : 0) * 1e9)};
        int ready = epoll_pwait2(epoll, events, 256, &pause, NULL);
        for (int n = 0; n < ready; n++) {
            void *who = events[n].data.ptr;
            if (who >= (void *)cameras && who < (void *)(cameras + CAMERAS)) {
                welcome(who);
                continue;
            }
            struct client *c = who;
            if (events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(c);
            if (!c->closed && events[n].events & EPOLLOUT) push(c);
        }
        sweep();
        for (int n = 0; period > 0 && n < count; n++)
            if (clock_of(CLOCK_MONOTONIC) >= cameras[n].next) {
                tick(&cameras[n]);
                cameras[n].next += period;
                double late = clock_of(CLOCK_MONOTONIC);
                if (cameras[n].next < late - 1) cameras[n].next = late; /* it was stopped: do not catch up */
            }
    }
}
