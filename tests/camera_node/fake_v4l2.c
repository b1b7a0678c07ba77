/* A Video4Linux camera without a kernel module: preloaded, it answers for one device's path.
 *
 * FAKE_V4L2_DEVICE   the path that it answers for, such as /dev/video42
 * FAKE_V4L2_FRAMES   a file of frames, each as a 32-bit length in host order and its bytes; while the file is away,
 *                    so is the device
 * FAKE_V4L2_FORMAT   MJPG or YUYV
 * FAKE_V4L2_SIZE     WIDTHxHEIGHT of all frames
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BUFFERS 8
#define BUFFER_BYTES (2 * 1024 * 1024)
#define FDS 1024
#define FRAME_NS 33333333L

static char ours[FDS];
static unsigned char *memory[BUFFERS];
static int queued[BUFFERS], order[BUFFERS], count, streaming;
static unsigned sequence;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_device(const char *path) {
    const char *device = getenv("FAKE_V4L2_DEVICE");
    return path && device && !strcmp(path, device);
}

static int plugged(void) {
    int (*real)(const char *, int) = next("access");
    return real(getenv("FAKE_V4L2_FRAMES"), R_OK) == 0;
}

static unsigned wanted_format(void) {
    const char *f = getenv("FAKE_V4L2_FORMAT");
    return f && !strcmp(f, "YUYV") ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
}

static int open_device(int flags) {
    if (!plugged()) { errno = ENOENT; return -1; }
    int fd = timerfd_create(CLOCK_MONOTONIC, flags & O_NONBLOCK ? TFD_NONBLOCK : 0);
    struct itimerspec pace = {{0, FRAME_NS}, {0, FRAME_NS}};
    timerfd_settime(fd, 0, &pace, NULL);
    if (fd >= 0 && fd < FDS) ours[fd] = 1;
    return fd;
}

#define OPEN(name)                                                         \
    int name(const char *path, int flags, ...) {                           \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                                      \
        if (is_device(path)) return open_device(flags);                    \
        int (*real)(const char *, int, ...) = next(#name);                 \
        return real(path, flags, mode);                                    \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    int (*real)(int) = next("close");
    if (fd >= 0 && fd < FDS) ours[fd] = 0;
    return real(fd);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && fd < FDS && ours[fd]) return memory[offset / 4096];
    void *(*real)(void *, size_t, int, int, int, off_t) = next("mmap");
    return real(at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    return mmap(at, length, protection, flags, fd, offset);
}

int munmap(void *at, size_t length) {
    for (int i = 0; i < BUFFERS; i++)
        if (at && at == memory[i]) return 0;
    int (*real)(void *, size_t) = next("munmap");
    return real(at, length);
}

static void describe(struct v4l2_pix_format *format) {
    unsigned width = 640, height = 360;
    const char *size = getenv("FAKE_V4L2_SIZE");
    if (size) sscanf(size, "%ux%u", &width, &height);
    format->width = width;
    format->height = height;
    format->pixelformat = wanted_format();
    format->field = V4L2_FIELD_NONE;
    format->bytesperline = wanted_format() == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
    format->sizeimage = wanted_format() == V4L2_PIX_FMT_YUYV ? width * height * 2 : BUFFER_BYTES;
    format->colorspace = V4L2_COLORSPACE_JPEG;
}

/* The next frame of the file, from its start again at its end; its length, 0 when there is none. */
static unsigned next_frame(unsigned char *into) {
    static long at;
    unsigned length = 0;
    FILE *file = fopen(getenv("FAKE_V4L2_FRAMES"), "rb");
    if (!file) return 0;
    for (int turn = 0; turn < 2; turn++) {
        fseek(file, at, SEEK_SET);
        if (fread(&length, 4, 1, file) == 1 && length <= BUFFER_BYTES && fread(into, 1, length, file) == length) {
            at += 4 + (long)length;
            break;
        }
        length = 0;
        at = 0;
    }
    fclose(file);
    return length;
}

static int answer(int fd, unsigned long request, void *argument) {
    if (!plugged()) { errno = ENODEV; return -1; }
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = argument;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "fake");
        strcpy((char *)c->card, "fake camera");
        c->capabilities = c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities |= V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        if (input->index) break;
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_G_FMT:
        describe(&((struct v4l2_format *)argument)->fmt.pix);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *p = argument;
        p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        p->parm.capture.timeperframe.numerator = 1;
        p->parm.capture.timeperframe.denominator = 30;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = argument;
        if (r->memory != V4L2_MEMORY_MMAP) break;
        if (r->count > BUFFERS) r->count = BUFFERS;
        count = 0;
        memset(queued, 0, sizeof queued);
        for (unsigned i = 0; i < r->count; i++)
            if (!memory[i]) memory[i] = aligned_alloc(4096, BUFFER_BYTES);
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = argument;
        if (b->index >= BUFFERS) break;
        b->length = BUFFER_BYTES;
        b->m.offset = b->index * 4096;
        return 0;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *b = argument;
        if (b->index >= BUFFERS || queued[b->index]) break;
        queued[b->index] = 1;
        order[count++] = (int)b->index;
        return 0;
    }
    case VIDIOC_DQBUF: {
        struct v4l2_buffer *b = argument;
        unsigned long long ticks;
        if (!streaming || count == 0 || read(fd, &ticks, sizeof ticks) != sizeof ticks) {
            errno = EAGAIN;
            return -1;
        }
        b->index = (unsigned)order[0];
        memmove(order, order + 1, sizeof(int) * (size_t)--count);
        queued[b->index] = 0;
        b->bytesused = next_frame(memory[b->index]);
        b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        b->sequence = sequence++;
        b->length = BUFFER_BYTES;
        b->field = V4L2_FIELD_NONE;
        return 0;
    }
    case VIDIOC_STREAMON:
        streaming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = 0;
        count = 0;
        memset(queued, 0, sizeof queued);
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd >= 0 && fd < FDS && ours[fd]) return answer(fd, request & 0xffffffffUL, argument);
    int (*real)(int, unsigned long, ...) = next("ioctl");
    return real(fd, request, argument);
}
