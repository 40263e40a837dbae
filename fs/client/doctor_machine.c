/*
 * The checks of the kernel, of FUSE, and of what a container allows of them.
 */
#include <fcntl.h>
#include <jansson.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "fs/base/io.h"
#include "fs/base/text.h"
#include "fs/client/doctor.h"
#include "fs/mount/fuse_probe.h"
#include "fs/mount/limits.h"
#include "fs/store/catalog_inspect.h"
#include "fs/store/settings.h"

static const char uring_parameter[] = "/sys/module/fuse/parameters/enable_uring";

enum {
    FUSE_MAJOR = 10,
    FUSE_MINOR = 229,
    SYS_ADMIN_BIT = 21, /* CAP_SYS_ADMIN, capabilities(7) */
    /* The kernel that introduced close_range(2), the newest call that mintfs cannot do without. */
    OLDEST_KERNEL = 5 * 1000 + 9,
    URING_KERNEL = 6 * 1000 + 14,
    /* fs/client/copies.c leaves as much free: in Docker's 64 MiB nothing ever fits. */
    SMALL_SHM_BYTES = 128 << 20,
};

/* The number after "NAME:" in /proc/self/status. */
static unsigned long long status_number(const char *name, int base)
{
    AUTO_FILE FILE *file = fopen("/proc/self/status", "re");
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    size_t length = strlen(name);
    while (file && getline(&line, &size, file) > 0)
        if (!strncmp(line, name, length) && line[length] == ':')
            return strtoull(line + length + 1, NULL, base);
    return 0;
}

/* Whether CAP_SYS_ADMIN is in the set: CapEff is what this process has, CapBnd what a setuid root
 * program may get. */
static bool has_sys_admin(const char *set)
{
    return status_number(set, 16) >> SYS_ADMIN_BIT & 1;
}

static bool looks_like_container(void)
{
    return access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
           getenv("container") != NULL || getenv("KUBERNETES_SERVICE_HOST") != NULL;
}

/* The first line, without its newline; false if it cannot be read. */
static bool read_line(const char *path, char *ret_text, size_t size)
{
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? -1 : io_pread(fd, ret_text, size - 1, 0);
    if (n < 0)
        return false;
    ret_text[n] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
    return true;
}

/* 6014 for 6.14.2-arch1; 0 if it is not a number. */
static int kernel_number(const char *release)
{
    char *end;
    long major = strtol(release, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    return (int)(major * 1000 + minor);
}

static int check_kernel(struct doctor *doctor)
{
    struct utsname name;
    if (uname(&name) < 0)
        return 0;
    int number = kernel_number(name.release);
    if (number && number < OLDEST_KERNEL)
        doctor_add(doctor, FINDING_BAD, "kernel", NULL,
                   "Linux %s is too old: 5.9 or newer is needed", name.release);
    else
        doctor_add(doctor, FINDING_OK, "kernel", NULL, "Linux %s%s", name.release,
                   doctor->in_container ? ", in a container" : "");
    return number;
}

static void check_libraries(struct doctor *doctor)
{
    doctor_add(doctor, FINDING_OK, "versions", NULL,
               "mintfs %s, libfuse %s%s, SQLite %s, Jansson %s", MINTFS_VERSION,
               probe_library_version(), probe_library_has_uring() ? "" : " (without io_uring)",
               catalog_library_version(), jansson_version_str());
}

/* 0, or why /dev/fuse cannot be used. */
static int check_device(struct doctor *doctor)
{
    static const char run_with[] = "docker run --device /dev/fuse --cap-add SYS_ADMIN "
                                   "--security-opt apparmor=unconfined ...";
    AUTO_FD int fd = io_openat(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
    struct stat status;
    int error = fd < 0 ? -fd : 0;
    if (!error && (fstat(fd, &status) < 0 || !S_ISCHR(status.st_mode) ||
                   status.st_rdev != makedev(FUSE_MAJOR, FUSE_MINOR)))
        error = ENODEV;
    if (!error)
        doctor_add(doctor, FINDING_OK, "/dev/fuse", NULL, "can be opened");
    else if (doctor->in_container && error != EACCES)
        doctor_add(
            doctor, FINDING_HINT, "/dev/fuse", run_with,
            "not available in this container (%s): sessions are copies, unless it is started "
            "with",
            strerror(error));
    else if (error == EACCES)
        doctor_add(
            doctor, FINDING_HINT, "/dev/fuse", "sudo chmod 666 /dev/fuse",
            "you may not open it, so sessions are copies; most machines allow every user to");
    else if (error == EPERM)
        doctor_add(doctor, FINDING_HINT, "/dev/fuse", NULL,
                   "a device rule (cgroup) of this machine forbids opening it: sessions are "
                   "copies");
    else
        doctor_add(doctor, FINDING_HINT, "/dev/fuse",
                   doctor->is_root ? "modprobe fuse" : "sudo modprobe fuse",
                   "missing (%s), so sessions are copies; if this kernel has FUSE, load it with",
                   strerror(error));
    return error;
}

/* Searches PATH; the caller owns the path. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    AUTO_FREE char *directories = strdup(path ? path : "/usr/bin:/bin");
    char *rest = NULL;
    for (char *part = directories ? strtok_r(directories, ":", &rest) : NULL; part;
         part = strtok_r(NULL, ":", &rest)) {
        char *candidate = text_format("%s/%s", part, name);
        if (candidate && access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
    }
    return NULL;
}

/* Processes without CAP_SYS_ADMIN mount through it. NULL, or the reason why it cannot mount. */
static const char *check_fusermount(struct doctor *doctor)
{
    bool wanted = !doctor->mounts_itself;
    enum finding_level level = wanted ? FINDING_HINT : FINDING_OK;
    AUTO_FREE char *program = find_program("fusermount3");
    struct stat status;
    if (!program) {
        doctor_add(doctor, level, "fusermount3",
                   !wanted           ? NULL
                   : doctor->is_root ? "apt-get install fuse3"
                                     : "sudo apt-get install fuse3",
                   wanted ? "not found, and only root mounts without it: install the package fuse3"
                          : "missing, and not needed: this process mounts by itself");
        return "there is no fusermount3";
    }
    if (!wanted) {
        doctor_add(doctor, FINDING_OK, "fusermount3", NULL,
                   "%s, not needed: this process mounts by itself", program);
        return NULL;
    }
    if (stat(program, &status) < 0 || status.st_uid != 0 || !(status.st_mode & S_ISUID)) {
        AUTO_FREE char *command =
            text_format("sudo chown root %s; sudo chmod u+s %s", program, program);
        doctor_add(doctor, FINDING_HINT, "fusermount3", command,
                   "%s is not setuid root, so it cannot mount for you", program);
        return "fusermount3 is not setuid root";
    }
    if (status_number("NoNewPrivs", 10)) {
        doctor_add(doctor, FINDING_HINT, "fusermount3", NULL,
                   "%s cannot become root, since this process runs without new privileges "
                   "(--security-opt no-new-privileges, NoNewPrivileges= of systemd)",
                   program);
        return "fusermount3 cannot become root (no_new_privs)";
    }
    doctor_add(doctor, FINDING_OK, "fusermount3", NULL, "%s, setuid root", program);
    return NULL;
}

static void set_no_mount(struct doctor *doctor, const char *format, const char *what)
{
    doctor->can_mount = false;
    free(doctor->no_mount_why);
    doctor->no_mount_why = text_format("%s%s", format, what);
}

static void check_mounting_itself(struct doctor *doctor)
{
    int r = probe_mount();
    doctor->can_mount = r == 0;
    if (r == 0) {
        doctor_add(doctor, FINDING_OK, "mounting", NULL,
                   "tried: the kernel lets this process mount FUSE");
        return;
    }
    set_no_mount(doctor, "mount(2) is refused: ", strerror(-r));
    doctor_add(doctor, FINDING_HINT, "mounting",
               doctor->in_container ? "docker run --security-opt apparmor=unconfined "
                                      "--security-opt seccomp=unconfined ..."
                                    : NULL,
               "the kernel refuses to mount FUSE here (%s), perhaps because of a security profile: "
               "sessions are copies",
               strerror(-r));
}

static void check_limits(struct doctor *doctor)
{
    char limit[96];
    if (!limits_are_too_low(limit, sizeof(limit)))
        return;
    set_no_mount(doctor, "this process has too low a limit on ", limit);
    doctor_add(doctor, FINDING_HINT, "limits", NULL,
               "a daemon would inherit this process's limit on %s: mount from a shell without it; "
               "until then sessions are copies",
               limit);
}

static void check_mounting(struct doctor *doctor, int device_error)
{
    doctor->mounts_itself = has_sys_admin("CapEff");
    if (device_error)
        set_no_mount(doctor, "/dev/fuse: ", strerror(device_error));
    if (!doctor->mounts_itself && !has_sys_admin("CapBnd")) {
        if (device_error)
            return;
        set_no_mount(doctor, "", "this process cannot get CAP_SYS_ADMIN");
        doctor_add(doctor, FINDING_HINT, "mounting",
                   "docker run --device /dev/fuse --cap-add SYS_ADMIN ...",
                   "not even root can get CAP_SYS_ADMIN here, so sessions are copies, unless the "
                   "container is started with");
        return;
    }
    const char *obstacle = check_fusermount(doctor);
    if (device_error)
        return;
    if (doctor->mounts_itself) {
        check_mounting_itself(doctor);
    } else if (obstacle) {
        set_no_mount(doctor, "", obstacle);
    } else {
        doctor->can_mount = true;
        doctor_add(doctor, FINDING_OK, "mounting", NULL, "through fusermount3");
    }
}

static void check_allow_other(struct doctor *doctor)
{
    if (doctor->is_root)
        return;
    AUTO_FILE FILE *file = fopen("/etc/fuse.conf", "re");
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        char *word = line + strspn(line, " \t");
        word[strcspn(word, " \t\n")] = '\0';
        if (!strcmp(word, "user_allow_other")) {
            doctor_add(doctor, FINDING_OK, "allow_other", NULL,
                       "/etc/fuse.conf has user_allow_other: you may give other users access");
            return;
        }
    }
    doctor_add(doctor, FINDING_OK, "allow_other",
               "echo user_allow_other | sudo tee -a /etc/fuse.conf",
               "not allowed for you, as usual; only mount -o allow_other needs this line");
}

/* Newer fusermount3 comes with a profile that allows only some mount points. */
static void check_apparmor(struct doctor *doctor)
{
    char enabled[4];
    if (doctor->mounts_itself ||
        !read_line("/sys/module/apparmor/parameters/enabled", enabled, sizeof(enabled)) ||
        enabled[0] != 'Y' || access("/etc/apparmor.d/fusermount3", F_OK) < 0)
        return;
    static const char *const places[] = {"/tmp/", "/mnt/", "/media/", "/home/", "/run/user/"};
    struct setting_value setting = {.text = NULL};
    const char *home = getenv("HOME");
    size_t length = home ? strlen(home) : 0;
    const char *mount = settings_get(SETTING_MOUNT, &setting) == 0 ? setting.text : NULL;
    bool known = !mount || mount[0] != '/';
    for (size_t i = 0; !known && i < ARRAY_LENGTH(places); i++)
        known = !strncmp(mount, places[i], strlen(places[i]));
    if (!known && length)
        known = !strncmp(mount, home, length) && (mount[length] == '/' || home[length - 1] == '/');
    if (known)
        doctor_add(doctor, FINDING_OK, "AppArmor", NULL,
                   "fusermount3 has a profile: it mounts only below HOME, /tmp, /mnt, /media and "
                   "XDG_RUNTIME_DIR");
    else
        doctor_add(doctor, FINDING_HINT, "AppArmor",
                   setting.origin == ORIGIN_VARIABLE ? "unset MINTFS_MOUNT" : "mintfs config",
                   "fusermount3's profile lets it mount only below HOME, /tmp, /mnt, /media and "
                   "XDG_RUNTIME_DIR, and the mount point is set to %s",
                   mount);
}

/* A seccomp filter of a container or kernel.io_uring_disabled may forbid it. */
static bool may_use_uring(void)
{
    struct io_uring_params parameters = {.sq_entries = 0};
    return syscall(SYS_io_uring_setup, 0U, &parameters) == 0 ||
           (errno != ENOSYS && errno != EPERM && errno != EACCES);
}

static void check_uring(struct doctor *doctor, int kernel)
{
    static const char check[] = "io_uring";
    char enabled[4];
    if (!probe_library_has_uring()) {
        doctor_add(
            doctor, FINDING_HINT, check, NULL,
            "the libfuse of this build (%s) does not support it, 3.18 and newer do: requests "
            "take several times longer",
            probe_library_version());
        return;
    }
    if (!read_line(uring_parameter, enabled, sizeof(enabled))) {
        doctor_add(doctor, FINDING_OK, check, NULL,
                   kernel >= URING_KERNEL
                       ? "not offered to FUSE by this kernel"
                       : "not offered to FUSE by this kernel; 6.14 and newer do");
        return;
    }
    if (enabled[0] != 'Y') {
        doctor_add(doctor, FINDING_HINT, check,
                   doctor->is_root ? "echo Y >/sys/module/fuse/parameters/enable_uring"
                                   : "echo Y | sudo tee /sys/module/fuse/parameters/enable_uring",
                   "off, so that requests take several times longer; until the next boot%s it is "
                   "enabled with",
                   access(uring_parameter, W_OK) < 0 && doctor->is_root ? ", on the host," : "");
        return;
    }
    if (!may_use_uring())
        doctor_add(doctor, FINDING_HINT, check, "sudo sysctl kernel.io_uring_disabled=0",
                   "on, but this process may not use it (%s), because of a container's seccomp "
                   "profile, or of a setting that is changed with",
                   strerror(errno));
    else
        doctor_add(doctor, FINDING_OK, check, NULL, "on");
}

static void check_shared_memory(struct doctor *doctor)
{
    static const char check[] = "/dev/shm";
    struct statvfs status;
    if (statvfs("/dev/shm", &status) < 0 || access("/dev/shm", W_OK | X_OK) < 0) {
        doctor_add(doctor, FINDING_HINT, check, NULL,
                   "cannot be used (%s): copies are stored on the store's disk, which is slower",
                   strerror(errno));
        return;
    }
    uint64_t bytes = (uint64_t)status.f_blocks * status.f_frsize;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    if (bytes < SMALL_SHM_BYTES)
        doctor_add(
            doctor, FINDING_HINT, check,
            doctor->in_container ? "docker run --shm-size=1g ..."
                                 : "sudo mount -o remount,size=1g /dev/shm",
            "its %llu MiB are too few for copies, which are then stored on the store's disk; "
            "enlarge it with",
            (unsigned long long)(bytes >> 20));
    else if (room < SMALL_SHM_BYTES)
        doctor_add(doctor, FINDING_HINT, check, "ls -l /dev/shm",
                   "has %llu MiB left: copies are stored on the store's disk, which is slower",
                   (unsigned long long)(room >> 20));
    else
        doctor_add(doctor, FINDING_OK, check, NULL, "%llu MiB free for copies",
                   (unsigned long long)(room >> 20));
}

void doctor_check_machine(struct doctor *doctor)
{
    doctor->is_root = geteuid() == 0;
    doctor->in_container = looks_like_container();
    int kernel = check_kernel(doctor);
    check_libraries(doctor);
    check_mounting(doctor, check_device(doctor));
    check_limits(doctor);
    check_allow_other(doctor);
    check_apparmor(doctor);
    check_uring(doctor, kernel);
    check_shared_memory(doctor);
}
