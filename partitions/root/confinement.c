/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/confinement.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- The user ---- */

static bool is_number(const char *text)
{
    return text[0] && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10;
}

static bool find_group(const char *name, gid_t *gid)
{
    const struct group *group = getgrnam(name);

    if (is_number(name))
        *gid = (gid_t)strtoul(name, NULL, 10);
    else if (group)
        *gid = group->gr_gid;
    return group || is_number(name);
}

bool confinement_parse_user(const char *text, struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE])
{
    char name[64];
    const char *colon = strchr(text, ':');
    const struct passwd *entry;

    snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
    entry = is_number(name) ? getpwuid((uid_t)strtoul(name, NULL, 10)) : getpwnam(name);
    if (!entry && !is_number(name)) {
        snprintf(error, CONFINEMENT_ERROR_SIZE, "there is no user \"%s\"", name);
        return false;
    }
    *user = (struct confinement_user){.given = true,
                                      .uid = entry ? entry->pw_uid : (uid_t)strtoul(name, NULL, 10),
                                      .gid = entry ? entry->pw_gid : (gid_t)strtoul(name, NULL, 10)};
    if (colon && !find_group(colon + 1, &user->gid)) {
        snprintf(error, CONFINEMENT_ERROR_SIZE, "there is no group \"%.40s\"", colon + 1);
        return false;
    }
    return true;
}

bool confinement_become(const struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE])
{
    if (!user->given)
        return true;
    if (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0) {
        snprintf(error, CONFINEMENT_ERROR_SIZE, "cannot become user %u: %s", (unsigned)user->uid, strerror(errno));
        return false;
    }
    return true;
}

bool confinement_drop_capabilities(char error[CONFINEMENT_ERROR_SIZE])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0)
        return true;
    snprintf(error, CONFINEMENT_ERROR_SIZE, "cannot drop capabilities: %s", strerror(errno));
    return false;
}

/* ---- System calls ---- */

static const int disk_calls[] = {
    SCMP_SYS(preadv), SCMP_SYS(pwritev),    SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(ftruncate),
    SCMP_SYS(fstat),  SCMP_SYS(newfstatat), SCMP_SYS(lseek),     SCMP_SYS(flock),     SCMP_SYS(close),
    SCMP_SYS(fcntl),  SCMP_SYS(getrandom),  SCMP_SYS(sysinfo), /* qsort(3) asks how much memory it may take */
};
static const int memory_calls[] = {SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk)};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && !result; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return result;
}

/* Memory, but none that can be executed. */
static int allow_memory(scmp_filter_ctx filter)
{
    int result = allow(filter, memory_calls, sizeof memory_calls / sizeof memory_calls[0]);

    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!result)
        result =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return result;
}

/* The arguments of clone3 lie in memory, where a filter cannot see them: the C library takes clone then. */
static int allow_threads(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit)};
    int result = allow(filter, calls, sizeof calls / sizeof calls[0]);

    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    return result ? result : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int load_filter(const struct confinement_calls *calls)
{
    scmp_filter_ctx filter = seccomp_init(calls->others);
    int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

    if (!result)
        result = allow(filter, calls->allowed, calls->count);
    if (!result && calls->disks)
        result = allow(filter, disk_calls, sizeof disk_calls / sizeof disk_calls[0]);
    if (!result)
        result = allow_memory(filter);
    if (!result && calls->threads)
        result = allow_threads(filter);
    if (!result && calls->add_rules)
        result = calls->add_rules(filter);
    if (!result)
        result = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    return result;
}

bool confinement_close(const struct confinement_calls *calls, char error[CONFINEMENT_ERROR_SIZE])
{
    int result;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        snprintf(error, CONFINEMENT_ERROR_SIZE, "cannot forbid new privileges: %s", strerror(errno));
        return false;
    }
    result = load_filter(calls);
    if (result)
        snprintf(error, CONFINEMENT_ERROR_SIZE, "cannot restrict system calls: %s", strerror(-result));
    return !result;
}
