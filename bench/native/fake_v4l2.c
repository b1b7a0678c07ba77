/* A Video4Linux camera without a kernel module, for servers that are to be fed the same pictures: preloaded, it answers
 * for one device's path.
 *
 * FAKE_V4L2_DEVICE   the path that it answers for, such as /dev/video0
 * FAKE_V4L2_FRAMES   a file of JPEGs, each as a 32-bit length in host order and its bytes; they are played in a loop.
 *                    A comment "TSNS:" + 16 digits at a JPEG's start gets the time (nanoseconds of the monotonic clock)
 * FAKE_V4L2_SIZE     WIDTHxHEIGHT of all frames
 * FAKE_V4L2_FPS      frames a second, 30 unless told otherwise
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 32
#define BUFFER_BYTES (1 << 20)
#define PICTURES 1000
#define COMMENT 6 /* bytes before "TSNS:": start of image, comment marker and length */
#define PAGE 4096 /* a buffer's number times this is the offset under which it is mapped */

static struct { unsigned char *bytes; unsigned length; } pictures[PICTURES];
static int picture_count, device = -1;
static unsigned width = 640, height = 480, fps = 30, buffer_count, sequence;
static unsigned char *memory[BUFFERS];
static int queued[BUFFERS], last = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_device(const char *path) {
    const char *ours = getenv("FAKE_V4L2_DEVICE");
    return path && ours && !strcmp(path, ours);
}

static void load(void) {
    if (picture_count) return;
    const char *size = getenv("FAKE_V4L2_SIZE"), *rate = getenv("FAKE_V4L2_FPS");
    if (size) sscanf(size, "%ux%u", &width, &height);
    if (rate && atoi(rate) > 0) fps = (unsigned)atoi(rate);
    FILE *file = fopen(getenv("FAKE_V4L2_FRAMES"), "rb");
    unsigned length;
    while (file && picture_count < PICTURES && fread(&length, sizeof length, 1, file) == 1 && length <= BUFFER_BYTES) {
        pictures[picture_count].bytes = malloc(length);
        pictures[picture_count].length = length;
        if (fread(pictures[picture_count].bytes, 1, length, file) != length) break;
        picture_count++;
    }
    if (file) fclose(file);
}

static int open_device(int flags) {
    load();
    if (!picture_count) { errno = ENODEV; return -1; }
    device = timerfd_create(CLOCK_MONOTONIC, flags & O_NONBLOCK ? TFD_NONBLOCK : 0);
    long period = 1000000000L / (long)fps;
    struct itimerspec pace = {{0, period}, {0, period}};
    timerfd_settime(device, 0, &pace, NULL);
    return device;
}

#define OPEN(name)                                                   \
    int name(const char *path, int flags, ...) {                     \
        va_list rest;                                                \
        va_start(rest, flags);                                       \
        mode_t mode = va_arg(rest, mode_t);                          \
        va_end(rest);                                                \
        if (is_device(path)) return open_device(flags);              \
        int (*real)(const char *, int, ...) = next(#name);           \
        return real(path, flags, mode);                              \
    }
OPEN(open)
OPEN(open64)

int __open_2(const char *path, int flags) { return open(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open64(path, flags, 0); }

int close(int fd) {
    int (*real)(int) = next("close");
    if (fd >= 0 && fd == device) device = -1;
    return real(fd);
}

int stat(const char *path, struct stat *into) {
    if (is_device(path)) {
        memset(into, 0, sizeof *into);
        into->st_mode = S_IFCHR | 0666;
        into->st_rdev = 81 << 8; /* Video4Linux' major number */
        return 0;
    }
    int (*real)(const char *, struct stat *) = next("stat");
    return real(path, into);
}

int access(const char *path, int mode) {
    if (is_device(path)) return 0;
    int (*real)(const char *, int) = next("access");
    return real(path, mode);
}

char *realpath(const char *path, char *into) {
    if (is_device(path)) return into ? strcpy(into, path) : strdup(path);
    /* glibc keeps an old realpath that refuses a null buffer, and RTLD_NEXT finds that one first. */
    char *(*real)(const char *, char *) = dlvsym(RTLD_NEXT, "realpath", "GLIBC_2.3");
    if (!real) real = next("realpath");
    return real(path, into);
}
char *__realpath_chk(const char *path, char *into, size_t room) { (void)room; return realpath(path, into); }

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && fd == device) return memory[offset / PAGE];
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

static int refuse(int why) { errno = why; return -1; }

static void describe(struct v4l2_format *format) {
    format->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format->fmt.pix = (struct v4l2_pix_format){
        .width = width, .height = height, .pixelformat = V4L2_PIX_FMT_MJPEG, .field = V4L2_FIELD_NONE,
        .sizeimage = BUFFER_BYTES, .colorspace = V4L2_COLORSPACE_JPEG,
    };
}

static void describe_buffer(struct v4l2_buffer *b) {
    b->length = BUFFER_BYTES;
    b->m.offset = b->index * PAGE;
    b->memory = V4L2_MEMORY_MMAP;
    b->field = V4L2_FIELD_NONE;
}

static int request_buffers(struct v4l2_requestbuffers *r) {
    if (r->memory != V4L2_MEMORY_MMAP) return refuse(EINVAL);
    if (r->count > BUFFERS) r->count = BUFFERS;
    buffer_count = r->count;
    r->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
    memset(queued, 0, sizeof queued);
    for (unsigned i = 0; i < buffer_count; i++)
        if (!memory[i]) memory[i] = aligned_alloc(PAGE, BUFFER_BYTES);
    return 0;
}

static int fill(struct v4l2_buffer *b) {
    unsigned long long ticks;
    if (read(device, &ticks, sizeof ticks) != sizeof ticks) return refuse(EAGAIN);
    pthread_mutex_lock(&lock);
    unsigned tried = 0, index = 0;
    for (; tried < buffer_count; tried++) {
        index = ((unsigned)(last + 1) + tried) % buffer_count;
        if (queued[index]) break;
    }
    if (tried == buffer_count) { pthread_mutex_unlock(&lock); return refuse(EAGAIN); }
    last = (int)index;
    queued[index] = 0;
    pthread_mutex_unlock(&lock);
    int which = (int)(sequence % (unsigned)picture_count);
    memcpy(memory[index], pictures[which].bytes, pictures[which].length);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (!memcmp(memory[index] + COMMENT, "TSNS:", 5)) {
        char digits[17];
        snprintf(digits, sizeof digits, "%016llx", (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec);
        memcpy(memory[index] + COMMENT + 5, digits, 16);
    }
    b->index = index;
    describe_buffer(b);
    b->bytesused = pictures[which].length;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_DONE;
    b->timestamp = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    b->sequence = sequence++;
    return 0;
}

static int answer(unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = argument;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "uvcvideo"); /* some programs refuse drivers that they do not know */
        strcpy((char *)c->card, "fake camera");
        strcpy((char *)c->bus_info, "usb-0");
        c->version = 0x60000;
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        if (input->index) break;
        memset(input, 0, sizeof *input);
        strcpy((char *)input->name, "camera");
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *f = argument;
        if (f->index) break;
        f->flags = V4L2_FMT_FLAG_COMPRESSED;
        strcpy((char *)f->description, "Motion-JPEG");
        f->pixelformat = V4L2_PIX_FMT_MJPEG;
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *f = argument;
        if (f->index || f->pixel_format != V4L2_PIX_FMT_MJPEG) break;
        f->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        f->discrete.width = width;
        f->discrete.height = height;
        return 0;
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *f = argument;
        if (f->index) break;
        f->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        f->discrete = (struct v4l2_fract){1, fps};
        return 0;
    }
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_G_FMT:
        describe(argument);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *p = argument;
        p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        p->parm.capture.timeperframe = (struct v4l2_fract){1, fps};
        return 0;
    }
    case VIDIOC_REQBUFS:
        return request_buffers(argument);
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = argument;
        if (b->index >= buffer_count) break;
        describe_buffer(b);
        b->flags = 0;
        return 0;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *b = argument;
        if (b->index >= buffer_count) break;
        pthread_mutex_lock(&lock);
        queued[b->index] = 1;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    case VIDIOC_DQBUF:
        return fill(argument);
    case VIDIOC_G_JPEGCOMP:
        memset(argument, 0, sizeof(struct v4l2_jpegcompression));
        ((struct v4l2_jpegcompression *)argument)->quality = 80;
        return 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_S_JPEGCOMP:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
    case VIDIOC_SUBSCRIBE_EVENT:
        return 0;
    }
    return refuse(EINVAL);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd >= 0 && fd == device) return answer(request & 0xffffffffUL, argument);
    int (*real)(int, unsigned long, ...) = next("ioctl");
    return real(fd, request, argument);
}
