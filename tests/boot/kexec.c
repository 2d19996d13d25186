// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kexec now|crash KERNEL INITRD COMMAND-LINE: loads a kernel; "now" goes on with it, "crash" keeps it for a
 * panic. (The distribution's kexec-tools changes how the machine that it is installed on reboots.)
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_file(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        err(1, "%s", path);
    return file;
}

int main(int count, char **arguments)
{
    bool crash;

    if (count != 5)
        errx(1, "usage: kexec now|crash KERNEL INITRD COMMAND-LINE");
    crash = strcmp(arguments[1], "crash") == 0;
    if (syscall(SYS_kexec_file_load, open_file(arguments[2]), open_file(arguments[3]),
                strlen(arguments[4]) + 1, arguments[4], crash ? KEXEC_FILE_ON_CRASH : 0ul) != 0)
        err(1, "%s cannot be loaded", arguments[2]);
    if (!crash && reboot(LINUX_REBOOT_CMD_KEXEC) != 0)
        err(1, "the kernel does not go on with %s", arguments[2]);
    return 0;
}
