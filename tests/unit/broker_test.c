/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker of `loam disk`: what it does for a process that an image has taken over, and what it does not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/create.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/remote_source.h"
#include "partitions/root/passing.h"
#include "tests/unit/scratch.h"
#include "tools/loam/broker.h"

#define MERGING (BROKER_CHANGE | BROKER_REMOVE | BROKER_LIST)

static struct broker broker;
static struct broker_request request;
static struct broker_answer answer;

static void begin(const char *path, unsigned rights, const char *other, unsigned other_rights, unsigned parents)
{
    const struct broker_grant grant = {
        .files = {{path, rights}, {other, other_rights}},
        .parents = parents,
    };
    assert_true(broker_begin(&broker, &grant));
}

static void prepare(enum broker_request_kind kind, const char *path, unsigned number, const char *text)
{
    memset(&request, 0, sizeof(request));
    request.kind = kind;
    request.number = number;
    strcpy(request.path, path);
    strcpy(request.text, text);
}

/* The result; a descriptor that comes with it is closed. */
static int ask(enum broker_request_kind kind, const char *path, unsigned number, const char *text)
{
    int descriptor;
    prepare(kind, path, number, text);
    assert_true(broker_answer(&broker, &request, &answer, &descriptor));
    if (descriptor >= 0) {
        assert_int_equal(answer.result, 0);
        close(descriptor);
    }
    return answer.result;
}

static int open_file(const char *path, unsigned flags)
{
    return ask(ASK_OPEN_IMAGE, path, flags, "");
}

/* Where the file is that `child` calls `name`. */
static const char *find(const char *child, const char *name)
{
    static char found[PATH_MAX];
    assert_int_equal(ask(ASK_FIND_PARENT, child, 0, name), 0);
    strcpy(found, answer.path);
    return found;
}

static void make_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void make_disk(const char *path)
{
    assert_true(disk_create(path, 1u << 20, DISK_FORMAT_DYNAMIC, NULL, NULL));
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- What is fetched ---- */

/* This program has no loam-fetch beside it, as whose absence it shows what would be fetched. */
static void test_sources_are_fetched_as_granted(void **state)
{
    (void)state;
    const struct broker_grant grant = {.files = {{"a.vhd", BROKER_READ}}, .sources = 2};
    const char *url = "http://example.org/a.vhd";
    char long_text[FETCH_TEXT_SIZE + 1];
    memset(long_text, 'v', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_true(broker_begin(&broker, &grant));
    assert_int_equal(ask(ASK_OPEN_SOURCE, "file:///etc/shadow", 0, ""), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, "/etc/shadow", 0, ""), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, "--help", 0, ""), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, "http://user:secret@example.org/a.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 0, "\"v\x1b\""), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 0, long_text), EACCES);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 0, "\"v\""), ENOENT);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 1, ""), ENOENT);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 1, ""), EACCES);
    broker_end(&broker);

    begin("a.vhd", BROKER_READ, NULL, 0, BROKER_READ);
    assert_int_equal(ask(ASK_OPEN_SOURCE, url, 0, ""), EACCES);
    broker_end(&broker);
}

/* ---- Files that the user has named ---- */

static void test_files_are_opened_as_granted(void **state)
{
    (void)state;
    make_disk("a.vhd");
    make_disk("b.vhd");
    make_disk("other.vhd");
    begin("a.vhd", BROKER_CHANGE, "b.vhd", BROKER_READ, BROKER_READ);
    assert_int_equal(open_file("a.vhd", 0), 0);
    assert_int_equal(open_file("b.vhd", DISK_OPEN_READ_ONLY), 0);
    assert_int_equal(open_file("b.vhd", DISK_OPEN_READ_ONLY | DISK_OPEN_RAW), 0);
    assert_int_equal(open_file("b.vhd", 0), EACCES);
    assert_int_equal(open_file("other.vhd", DISK_OPEN_READ_ONLY), EACCES);
    assert_int_equal(open_file("./b.vhd", DISK_OPEN_READ_ONLY), EACCES);
    assert_int_equal(open_file("", DISK_OPEN_READ_ONLY), EACCES);
    assert_int_equal(open_file("a.vhd", DISK_OPEN_FIND_PARENTS), EACCES);
    assert_int_equal(open_file("a.vhd", 1u << 31), EACCES);
    assert_int_equal(ask(ASK_STATUS, "other.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_REAL_PATH, "/etc/passwd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_REMOVE, "a.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_LIST_BESIDE, "a.vhd", 0, ""), EACCES);
    broker_end(&broker);
}

static void test_only_looked_at(void **state)
{
    (void)state;
    make_disk("a.vhd");
    make_disk("b.vhd");
    begin("a.vhd", BROKER_READ, "b.vhd", BROKER_LOOK, 0);
    assert_int_equal(ask(ASK_STATUS, "b.vhd", 0, ""), 0);
    assert_int_equal(open_file("b.vhd", DISK_OPEN_READ_ONLY), EACCES);
    assert_int_equal(ask(ASK_REMOVE, "b.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_SET_TIMES, "b.vhd", 0, ""), EACCES);
    broker_end(&broker);
}

static void test_times_are_set_of_what_is_changed(void **state)
{
    struct stat status;
    (void)state;
    make_disk("a.vhd");
    begin("a.vhd", BROKER_CHANGE, NULL, 0, 0);
    assert_int_equal(ask(ASK_SET_TIMES, "a.vhd", 0, ""), ESTALE); /* it was not opened */
    assert_int_equal(open_file("a.vhd", 0), 0);
    assert_int_equal(ask(ASK_SET_TIMES, "a.vhd", 0, ""), 0);
    assert_int_equal(stat("a.vhd", &status), 0);
    assert_int_equal(status.st_mtime, 0);
    make_disk("b.vhd");
    assert_int_equal(rename("b.vhd", "a.vhd"), 0);
    assert_int_equal(ask(ASK_SET_TIMES, "a.vhd", 0, ""), ESTALE);
    broker_end(&broker);
}

/* ---- Parents ---- */

static void test_parents_are_only_read(void **state)
{
    (void)state;
    make_disk("child.vhd");
    make_disk("parent.vhd");
    begin("child.vhd", BROKER_CHANGE, NULL, 0, BROKER_READ);
    const char *parent = find("child.vhd", "PARENT.vhd"); /* whatever the case */
    assert_int_equal(open_file(parent, DISK_OPEN_READ_ONLY), 0);
    assert_int_equal(open_file(parent, 0), EACCES);
    assert_int_equal(open_file(parent, DISK_OPEN_READ_ONLY | DISK_OPEN_RAW), EACCES);
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), EACCES);
    assert_int_equal(ask(ASK_SET_TIMES, parent, 0, ""), EACCES);
    assert_int_equal(ask(ASK_BEGIN_FILE, parent, 1, ""), EACCES);
    broker_end(&broker);
}

static void test_what_is_no_image_is_no_parent(void **state)
{
    char text[4096];
    (void)state;
    memset(text, 'x', sizeof(text));
    make_disk("child.vhd");
    make_file("secret", text, sizeof(text));
    make_file("small", text, 10);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    begin("child.vhd", BROKER_READ, NULL, 0, MERGING);
    static const struct {
        const char *name;
        int result;
    } cases[] = {
        {"secret",            EMEDIUMTYPE},
        {"small",             EMEDIUMTYPE},
        {"fifo",              EMEDIUMTYPE},
        {".",                 EISDIR     },
        {"/dev/null",         EMEDIUMTYPE},
        {"/dev/zero",         EMEDIUMTYPE},
        {"/proc/self/status", EMEDIUMTYPE},
        {"/etc/passwd",       EMEDIUMTYPE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *found = find("child.vhd", cases[i].name);
        assert_int_equal(open_file(found, DISK_OPEN_READ_ONLY), cases[i].result);
        assert_int_equal(open_file(found, DISK_OPEN_UNLOCKED), cases[i].result);
        assert_int_equal(open_file(found, 0), EACCES);
        assert_int_not_equal(ask(ASK_REMOVE, found, 0, ""), 0);
    }
    assert_true(exists("secret"));
    broker_end(&broker);
}

static void test_names_are_texts(void **state)
{
    char longest[PATH_MAX];
    (void)state;
    make_disk("child.vhd");
    make_disk("a\nb.vhd");
    begin("child.vhd", BROKER_READ, NULL, 0, BROKER_READ);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    static const char *const names[] = {"", "a\nb.vhd", "\x1B[2J", "\x7F", "a\tb"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(ask(ASK_FIND_PARENT, "child.vhd", 0, names[i]), EACCES);
    assert_int_equal(ask(ASK_FIND_PARENT, "child.vhd", 0, longest), ENOENT);
    assert_int_equal(ask(ASK_FIND_PARENT, "a\nb.vhd", 0, "child.vhd"), EACCES); /* of no image of this command */
    broker_end(&broker);
}

/* ---- Merging ---- */

static void test_members_are_written_once_they_were_read(void **state)
{
    char parent[PATH_MAX];
    (void)state;
    make_disk("child.vhd");
    make_disk("parent.vhd");
    begin("child.vhd", MERGING, NULL, 0, MERGING);
    strcpy(parent, find("child.vhd", "parent.vhd"));
    assert_int_equal(open_file(parent, 0), EACCES);
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), ESTALE);
    assert_int_equal(open_file(parent, DISK_OPEN_READ_ONLY), 0);
    assert_int_equal(open_file(parent, 0), 0);

    make_disk("new.vhd"); /* and now it is another */
    assert_int_equal(rename("new.vhd", "parent.vhd"), 0);
    assert_int_equal(open_file(parent, 0), ESTALE);
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), ESTALE);
    assert_true(exists("parent.vhd"));
    assert_int_equal(open_file(parent, DISK_OPEN_READ_ONLY), 0);
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), 0);
    assert_false(exists("parent.vhd"));
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), ENOENT);
    broker_end(&broker);
}

static void test_what_is_no_member_stays(void **state)
{
    char text[4096] = "conectix", parent[PATH_MAX];
    (void)state;
    make_disk("child.vhd");
    make_disk("other.vhd");
    make_disk("parent.vhd");
    begin("child.vhd", MERGING, NULL, 0, MERGING);
    assert_int_equal(open_file("other.vhd", DISK_OPEN_UNLOCKED), 0); /* it is beside the child */
    assert_int_equal(open_file("other.vhd", 0), EACCES);
    assert_int_equal(ask(ASK_REMOVE, "other.vhd", 0, ""), EACCES);

    strcpy(parent, find("child.vhd", "parent.vhd")); /* the same file, and no image any more */
    assert_int_equal(open_file(parent, DISK_OPEN_READ_ONLY), 0);
    make_file("parent.vhd", text + 1, sizeof(text) - 1);
    assert_int_equal(ask(ASK_REMOVE, parent, 0, ""), EACCES);
    assert_int_equal(open_file(parent, 0), EMEDIUMTYPE);
    assert_true(exists("other.vhd") && exists("parent.vhd"));
    broker_end(&broker);
}

static void test_directories_of_images_are_listed(void **state)
{
    char names[256];
    int descriptor;
    (void)state;
    assert_int_equal(mkdir("here", 0700), 0);
    make_disk("here/child.vhd");
    make_disk("here/other.vhd");
    make_disk("outside.vhd");
    begin("here/child.vhd", MERGING, NULL, 0, MERGING);
    prepare(ASK_LIST_BESIDE, "here/child.vhd", 0, "");
    assert_true(broker_answer(&broker, &request, &answer, &descriptor));
    ssize_t length = read(descriptor, names, sizeof(names));
    assert_true(length > 0 && memmem(names, (size_t)length, "other.vhd", sizeof("other.vhd")));
    close(descriptor);
    assert_int_equal(open_file("here/other.vhd", DISK_OPEN_UNLOCKED), 0);
    assert_int_equal(ask(ASK_STATUS, "here/", 0, ""), 0);
    static const char *const outside[] = {"here/../outside.vhd", "here/..",       "here/.",      "here//other.vhd",
                                          "outside.vhd",         "./outside.vhd", "/outside.vhd"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_int_equal(open_file(outside[i], DISK_OPEN_UNLOCKED), EACCES);
        assert_int_equal(ask(ASK_LIST_BESIDE, outside[i], 0, ""), EACCES);
        assert_int_equal(ask(ASK_STATUS, outside[i], 0, ""), EACCES);
    }
    broker_end(&broker);
}

/* ---- New files ---- */

static void test_files_are_made_as_granted(void **state)
{
    (void)state;
    make_disk("source.vhd");
    begin("source.vhd", BROKER_READ, "new.vhd", BROKER_CREATE | BROKER_READ, BROKER_READ);
    assert_int_equal(ask(ASK_COMMIT_FILE, "", 0, ""), EACCES); /* none is begun */
    assert_int_equal(ask(ASK_BEGIN_FILE, "source.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_BEGIN_FILE, "other.vhd", 0, ""), EACCES);
    assert_int_equal(ask(ASK_BEGIN_FILE, "new.vhd", 1, ""), EACCES); /* not to replace another */
    assert_int_equal(ask(ASK_BEGIN_FILE, "new.vhd", 0, ""), 0);
    assert_int_equal(ask(ASK_BEGIN_FILE, "new.vhd", 0, ""), EACCES); /* one at a time */
    assert_int_equal(ask(ASK_COMMIT_FILE, "", 0, ""), 0);
    assert_true(exists("new.vhd"));
    assert_int_equal(ask(ASK_BEGIN_FILE, "new.vhd", 0, ""), EEXIST);
    assert_int_equal(scratch_files(), 2);
    broker_end(&broker);
}

static void test_what_is_not_finished_is_removed(void **state)
{
    (void)state;
    make_disk("old.vhd");
    begin("old.vhd", BROKER_CREATE | BROKER_REPLACE, NULL, 0, 0);
    assert_int_equal(ask(ASK_BEGIN_FILE, "old.vhd", 1, ""), 0);
    assert_int_equal(ask(ASK_ABANDON_FILE, "", 0, ""), 0);
    assert_int_equal(scratch_files(), 1);
    assert_int_equal(ask(ASK_BEGIN_FILE, "old.vhd", 1, ""), 0);
    assert_int_equal(scratch_files(), 2);
    broker_end(&broker);
    assert_int_equal(scratch_files(), 1);
}

static void test_backups(void **state)
{
    static const char *const refused[] = {"a.vhd.repair-backup-",    "a.vhd.repair-backup-x", "a.vhd.repair-backup-100",
                                          "a.vhd.repair-backup-1/x", "a.vhd.repair-backup2",  "b.vhd.repair-backup",
                                          "a.vhd.repair-backupx",    "a.vhd.repair",          "/a.vhd.repair-backup"};
    (void)state;
    make_disk("a.vhd");
    begin("a.vhd", BROKER_CHANGE | BROKER_BACKUP, NULL, 0, 0);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(ask(ASK_BEGIN_FILE, refused[i], 0, ""), EACCES);
    assert_int_equal(ask(ASK_BEGIN_FILE, "a.vhd.repair-backup", 1, ""), EACCES);
    static const char *const allowed[] = {"a.vhd.repair-backup", "a.vhd.repair-backup-2", "a.vhd.repair-backup-99"};
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        assert_int_equal(ask(ASK_BEGIN_FILE, allowed[i], 0, ""), 0);
        assert_int_equal(ask(ASK_COMMIT_FILE, "", 0, ""), 0);
        assert_int_equal(open_file(allowed[i], DISK_OPEN_READ_ONLY), EACCES);
    }
    broker_end(&broker);
}

/* ---- What the program never sends ---- */

static void test_what_is_no_request_is_not_answered(void **state)
{
    int descriptor;
    (void)state;
    begin("a.vhd", BROKER_READ, NULL, 0, 0);
    prepare(ASK_PROGRESS + 1, "", 0, "");
    assert_false(broker_answer(&broker, &request, &answer, &descriptor));
    prepare((enum broker_request_kind)UINT32_MAX, "", 0, "");
    assert_false(broker_answer(&broker, &request, &answer, &descriptor));
    prepare(ASK_STATUS, "", 0, "");
    memset(request.path, 'x', sizeof(request.path));
    assert_false(broker_answer(&broker, &request, &answer, &descriptor));
    prepare(ASK_STATUS, "", 0, "");
    memset(request.text, 'x', sizeof(request.text));
    assert_false(broker_answer(&broker, &request, &answer, &descriptor));
    broker_end(&broker);
}

static void test_requests_come_to_an_end(void **state)
{
    int descriptor;
    (void)state;
    begin("a.vhd", BROKER_READ, NULL, 0, 0);
    prepare(ASK_STATUS, "b.vhd", 0, "");
    for (unsigned i = 0; i < BROKER_MOST_REQUESTS; i++)
        assert_true(broker_answer(&broker, &request, &answer, &descriptor));
    assert_false(broker_answer(&broker, &request, &answer, &descriptor));
    broker_end(&broker);
}

static void test_messages_have_a_size_and_bring_nothing(void **state)
{
    static char large[sizeof(struct broker_request) + 1];
    int channel[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
    prepare(ASK_STATUS, "a.vhd", 0, "");
    assert_true(passing_send(channel[1], &request, sizeof(request), -1));
    assert_true(passing_receive(channel[0], &request, sizeof(request), 0, NULL));
    assert_true(passing_send(channel[1], large, sizeof(large), -1));
    assert_false(passing_receive(channel[0], &request, sizeof(request), 0, NULL));
    assert_true(passing_send(channel[1], large, sizeof(request) - 1, -1));
    assert_false(passing_receive(channel[0], &request, sizeof(request), 0, NULL));
    int next = dup(channel[0]);
    close(next);
    assert_true(passing_send(channel[1], &request, sizeof(request), channel[0]));
    assert_false(passing_receive(channel[0], &request, sizeof(request), 0, NULL));
    assert_int_equal(dup(channel[0]), next); /* the descriptor was not taken */
    close(next);
    close(channel[1]);
    assert_false(passing_receive(channel[0], &request, sizeof(request), 0, NULL));
    close(channel[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_sources_are_fetched_as_granted),
        scratch_test(test_files_are_opened_as_granted),
        scratch_test(test_only_looked_at),
        scratch_test(test_times_are_set_of_what_is_changed),
        scratch_test(test_parents_are_only_read),
        scratch_test(test_what_is_no_image_is_no_parent),
        scratch_test(test_names_are_texts),
        scratch_test(test_members_are_written_once_they_were_read),
        scratch_test(test_what_is_no_member_stays),
        scratch_test(test_directories_of_images_are_listed),
        scratch_test(test_files_are_made_as_granted),
        scratch_test(test_what_is_not_finished_is_removed),
        scratch_test(test_backups),
        scratch_test(test_what_is_no_request_is_not_answered),
        scratch_test(test_requests_come_to_an_end),
        cmocka_unit_test(test_messages_have_a_size_and_bring_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
