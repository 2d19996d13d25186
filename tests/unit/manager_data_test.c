/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What loamd keeps, reads and concludes, without processes: names, text, definitions, files, ends of workers.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/manager/definition.h"
#include "partitions/root/manager/name.h"
#include "partitions/root/manager/process.h"
#include "partitions/root/manager/store.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/vm_end.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- Names ---- */

static void names_are_checked(void **state)
{
    char longest[NAME_SIZE], longer[NAME_SIZE + 1];
    static const char *const good[] = {"a", "web1", "Web-1_x.y", "0"};
    /* clang-format off */
    static const char *const bad[] = {"",    ".",   "..",  ".a",       "-a",   "_a",
                                      "a/b", "a b", "a\n", "\xC3\xA4", "a\x7F"};
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(name_is_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(name_is_valid(bad[i]));
    memset(longest, 'x', NAME_LENGTH);
    longest[NAME_LENGTH] = '\0';
    memset(longer, 'x', NAME_LENGTH + 1);
    longer[NAME_LENGTH + 1] = '\0';
    assert_true(name_is_valid(longest));
    assert_false(name_is_valid(longer));
    assert_int_equal(name_resemblance(longest, longest), 0);
    assert_int_equal(name_resemblance(longer, longest), 0);
}

static void similar_names_resemble(void **state)
{
    static const struct {
        const char *typed, *name;
        unsigned resemblance;
    } cases[] = {
        {"strat", "start", 1},
        {"sart", "start", 1},
        {"startt", "start", 1},
        {"stxrx", "start", 2},
        {"start", "start", 0},
        {"pause", "start", 0},
        {"b", "a", 0},
        {"", "web1", 0},
        {"wbe1", "web1", 1},
        {"ab", "ba", 1},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(name_resemblance(cases[i].typed, cases[i].name), cases[i].resemblance);
}

/* ---- Text ---- */

static void text_becomes_clean(void **state)
{
    /* clang-format off */
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"plain", "plain"},
        {"a\nb\x1B[2J\x7F", "a?b?[2J?"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"\xC2\x9B"
         "31m", "??31m"},
        {"\xC0\xAF \xE0\x80\xAF \xED\xA0\x80", "?? ??? ???"},
        {"\xF0\x9F\x98\x80\xF4\x90\x80\x80", "\xF0\x9F\x98\x80????"},
        {"cut \xE2\x82", "cut ??"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text = strdup(cases[i].from);
        text_clean(text);
        assert_string_equal(text, cases[i].to);
        free(text);
    }
    json_t *none = text_json(""), *some = text_json("a\tb");
    assert_true(json_is_null(none));
    assert_string_equal(json_string_value(some), "a?b");
    json_decref(some);
}

/* ---- Definitions ---- */

static const char stored[] =
    "{\"version\": 1, \"name\": \"web1\", \"memory\": 268435456, \"processors\": 1,"
    " \"uuid\": \"00112233-4455-4677-8899-aabbccddeeff\","
    " \"kernel\": {\"path\": \"/boot/k\", \"uid\": 7}, \"initrd\": null, \"command_line\": \"quiet\","
    " \"boot\": [\"floppy\", \"dvd\"], \"graphics\": true,"
    " \"disks\": [{\"path\": \"/a\", \"format\": \"raw\", \"read_only\": true, \"uid\": 9,"
    "   \"source\": null},"
    "  {\"path\": \"/b\", \"format\": \"vhd\", \"read_only\": false, \"uid\": 9,"
    "   \"source\": \"https://example.org/b.vhd\"}],"
    " \"dvds\": [{\"path\": null, \"read_only\": false, \"uid\": 3}],"
    " \"floppies\": [{\"path\": \"/f\", \"read_only\": true, \"uid\": 4}],"
    " \"com2\": {\"kind\": \"socket\", \"path\": \"/s\", \"uid\": 6},"
    " \"nics\": [{\"switch\": \"default\", \"mac\": \"00-15-5D-01-02-03\"},"
    "            {\"switch\": null, \"mac\": \"00-15-5D-01-02-04\"}]}";

static bool read_text(struct definition *definition, const char *text, enum definition_source source, char *error)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    bool read = definition_read(definition, object, source, 5, error);
    json_decref(object);
    return read;
}

static void stored_definition_comes_back(void **state)
{
    struct definition definition, copy;
    char error[FIELDS_ERROR_SIZE] = "";
    (void)state;
    definition_initialize(&definition);
    assert_true(read_text(&definition, stored, DEFINITION_STORED, error));
    assert_int_equal(definition.kernel.user, 7);
    assert_int_equal(definition.disks[0].file.user, 9);
    assert_true(definition.disks[0].raw && definition.disks[0].read_only);
    assert_string_equal(definition.nics[1].switch_name, "");
    assert_true(definition_copy(&copy, &definition));
    json_t *one = definition_json(&definition), *other = definition_json(&copy), *text = json_loads(stored, 0, NULL);
    assert_true(json_equal(one, other));
    assert_true(json_equal(one, text));
    json_decref(one);
    json_decref(other);
    json_decref(text);
    definition_clear(&definition);
    definition_clear(&copy);
}

/* Whoever asks cannot say whose a file is, and what is not named stays. */
static void request_changes_what_it_names(void **state)
{
    struct definition definition;
    char error[FIELDS_ERROR_SIZE] = "";
    (void)state;
    definition_initialize(&definition);
    assert_true(read_text(&definition, stored, DEFINITION_STORED, error));
    assert_true(
        read_text(&definition, "{\"name\": \"web1\", \"kernel\": {\"path\": \"/new\"}}", DEFINITION_REQUEST, error));
    assert_int_equal(definition.kernel.user, 5);
    assert_string_equal(definition.kernel.path, "/new");
    assert_int_equal(definition.disks[0].file.user, 9);
    assert_int_equal(definition.nic_count, 2);
    assert_false(read_text(&definition, "{\"name\": \"web1\", \"kernel\": {\"path\": \"/new\", \"uid\": 0}}",
                           DEFINITION_REQUEST, error));
    assert_string_equal(error, "kernel: unknown key \"uid\"");
    definition_clear(&definition);
}

static void definitions_are_checked(void **state)
{
    /* clang-format off */
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[]", "must be an object, not a list"},
        {"{\"memory\": 5}", "\"name\" is missing"},
        {"{\"name\": 5}", "name: must be a string, not a number"},
        {"{\"name\": \"a/b\"}", "name: \"a/b\" cannot be a name: use " NAME_RULE},
        {"{\"name\": \"a\", \"initrd\": {\"path\": \"/i\"}}",
         "\"initrd\" needs \"kernel\": without one the firmware starts the machine"},
        {"{\"name\": \"a\", \"uuid\": \"1234\"}",
         "uuid: \"1234\" is not a UUID: write it as 00000000-0000-0000-0000-000000000000"},
        {"{\"name\": \"a\", \"boot\": [\"cd\"]}",
         "boot[0]: must be one of \"floppy\", \"dvd\", \"disk\", \"network\""},
        {"{\"name\": \"a\", \"boot\": [\"dvd\", \"dvd\"]}", "boot: dvd is there twice"},
        {"{\"name\": \"a\", \"graphics\": 1}", "graphics: must be true or false, not a number"},
        {"{\"name\": \"a\", \"dvds\": [{}, {}, {}]}", "dvds: must have at most 2 entries, not 3"},
        {"{\"name\": \"a\", \"disks\": [{\"path\": \"/a\"}, {\"path\": \"/b\"}, {\"path\": \"/c\"}], \"dvds\": [{}, {}]}",
         "3 disks leave no place for 2 DVD drives on the IDE controller's two channels"},
        {"{\"name\": \"a\", \"floppies\": [{\"path\": \"x\"}]}", "floppies[0].path: \"x\" must be an absolute path"},
        {"{\"name\": \"a\", \"com2\": {\"kind\": \"console\"}}", "com2: the console is COM1"},
        {"{\"name\": \"a\", \"com2\": {\"kind\": \"pipe\"}}", "com2: \"path\" is missing"},
        {"{\"name\": \"a\", \"com2\": {\"kind\": \"none\", \"path\": \"/p\"}}", "com2: \"none\" has no \"path\""},
        {"{\"name\": \"a\", \"memory\": 4194303}",
         "memory: 4194303 bytes are too little: give at least 4 MiB"},
        {"{\"name\": \"a\", \"memory\": 4194305}",
         "memory: must be a multiple of 1 MiB (1048576 bytes), not 4194305 bytes"},
        {"{\"name\": \"a\", \"memory\": 1e7}", "memory: must be a whole number, not a fraction"},
        {"{\"name\": \"a\", \"processors\": 9}", "processors: a virtual machine can have 1 to 8, not 9"},
        {"{\"name\": \"a\", \"disks\": [{\"path\": \"/a\"}, {\"path\": \"b\"}]}",
         "disks[1].path: \"b\" must be an absolute path"},
        {"{\"name\": \"a\", \"disks\": [{\"path\": \"/a\", \"format\": \"vmdk\"}]}",
         "disks[0].format: must be \"vhd\" or \"raw\""},
        {"{\"name\": \"a\", \"disks\": [{\"path\": \"/a\", \"source\": \"http://a/b\"}]}",
         "disks[0]: unknown key \"source\""},
        {"{\"name\": \"a\", \"kernel\": {\"path\": \"/k\"}, \"disks\": [{\"path\": \"/a\"}, {\"path\": "
         "\"/a\"}]}", "disks[0] and disks[1] are the same file"},
        {"{\"name\": \"a\", \"kernel\": {\"path\": \"/a\\u001b\"}}",
         "kernel.path: must not have control characters"},
        {"{\"name\": \"a\", \"nics\": [{\"switch\": \"s\", \"mac\": \"00-15-5D-00-00-00\"}]}",
         "nics[0].mac: 00-15-5D-00-00-00 is the switches' own address: choose another"},
        {"{\"name\": \"a\", \"uid\": 0}", "unknown key \"uid\""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct definition definition;
        char error[FIELDS_ERROR_SIZE] = "";
        definition_initialize(&definition);
        assert_false(read_text(&definition, cases[i].text, DEFINITION_REQUEST, error));
        assert_string_equal(error, cases[i].error);
        definition_clear(&definition);
    }
}

/* ---- Files ---- */

static char directory_path[] = "/tmp/manager-data-XXXXXX";

static int make_directory(void **state)
{
    if (!mkdtemp(directory_path))
        return -1;
    int *directory = malloc(sizeof(*directory));
    *directory = open(directory_path, O_RDONLY | O_DIRECTORY);
    *state = directory;
    return *directory < 0 ? -1 : 0;
}

static int remove_directory(void **state)
{
    int *directory = *state;
    static const char *const names[] = {"a.json", "a.json.new", "b.json", ".hidden.json", "other", "output"};
    for (size_t i = 0; i < COUNT(names); i++)
        unlinkat(*directory, names[i], 0);
    close(*directory);
    free(directory);
    return rmdir(directory_path);
}

static void put(int directory, const char *name, const char *text)
{
    int descriptor = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    close(descriptor);
}

static void count_name(void *context, const char *name)
{
    int *found = context;
    assert_true(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
    ++*found;
}

static void store_keeps_whole_files(void **state)
{
    const int directory = **(int **)state;
    char error[256] = "";
    json_t *value = json_pack("{s:i}", "x", 1);
    int found = 0;
    assert_false(store_has(directory, "a"));
    assert_int_equal(store_write(directory, "a", value), 0);
    json_t *read = store_read(directory, "a", error, sizeof(error));
    assert_true(json_equal(read, value));
    json_decref(read);
    put(directory, "b.json", "{\"half\": ");
    put(directory, "a.json.new", "what a crash has left");
    put(directory, ".hidden.json", "{}");
    put(directory, "other", "");
    assert_null(store_read(directory, "b", error, sizeof(error)));
    assert_non_null(strstr(error, "b.json: line 1: "));
    assert_int_equal(store_list(directory, count_name, &found), 0);
    assert_int_equal(found, 2);
    assert_int_equal(faccessat(directory, "a.json.new", F_OK, 0), -1);
    assert_int_equal(store_remove(directory, "a"), 0);
    assert_int_equal(store_remove(directory, "a"), 0); /* it is as it was to be */
    assert_null(store_read(directory, "a", error, sizeof(error)));
    json_decref(value);
}

static void store_follows_no_links(void **state)
{
    const int directory = **(int **)state;
    char error[256] = "";
    put(directory, "other", "{}");
    assert_int_equal(symlinkat("other", directory, "a.json"), 0);
    assert_true(store_has(directory, "a"));
    assert_null(store_read(directory, "a", error, sizeof(error)));
}

/* ---- Ends ---- */

#define OFF(reason, detail)                                                                                            \
    "{\"event\":\"state\",\"state\":\"Off\",\"reason\":\"" reason "\",\"path\":null,\"detail\":\"" detail "\"}\n"
#define RUNNING "{\"event\":\"state\",\"state\":\"Running\",\"reason\":null,\"path\":null,\"detail\":null}\n"

static void worker_says_why_it_ended(void **state)
{
    /* clang-format off */
    static const struct {
        const char *output;
        int status;
        const char *reason, *detail;
    } cases[] = {
        {RUNNING OFF("power-off", "off"), 0, "power-off", "off"},
        {RUNNING "loam-worker: web1: a problem\n" OFF("failed", "0F 0B"), 6 << 8, "failed", "0F 0B"},
        {"loam-worker: web1: /dev/mshv: cannot be opened\n", 1 << 8, "start-failed",
         "/dev/mshv: cannot be opened"},
        {"loam-worker: no name\n", 1 << 8, "start-failed", "no name"},
        {"", 9 << 8, "unknown", "the worker ended with status 9 and without saying why"},
        {RUNNING, SIGKILL, "killed", "the worker was killed by signal 9 (Killed)"},
        {RUNNING, SIGSYS, "killed", "the worker was killed by signal 31 (Bad system call)"},
        {RUNNING "loam-worker: web1: late\n", 1 << 8, "failed", "late"},
        {"loam-worker: web1: early\n" RUNNING, 9 << 8, "unknown",
         "the worker ended with status 9 and without saying why"},
        {RUNNING "*** stack smashing detected ***\n", SIGABRT, "killed",
         "the worker was killed by signal 6 (Aborted); it wrote: *** stack smashing detected ***"},
        {RUNNING OFF("power-off", "off"), SIGKILL, "killed",
         "off, but then the worker was killed by signal 9 (Killed): look its disks over with loam disk check"},
        {RUNNING OFF("power-off", "off") OFF("failed", "a disk"), 6 << 8, "failed", "a disk"},
        {RUNNING OFF("power-off", "off"), PROCESS_STATUS_UNKNOWN, "power-off", "off"},
        {RUNNING, PROCESS_STATUS_UNKNOWN, "unknown",
         "the worker ended without a word, as one does that is killed or crashes: dmesg may say more"},
        {RUNNING "free(): invalid pointer\n", PROCESS_STATUS_UNKNOWN, "unknown", "free(): invalid pointer"},
        {"loam-worker: web1: no memory\n", PROCESS_STATUS_UNKNOWN, "start-failed", "no memory"},
        {"{\"state\": \"Off\n{not JSON\n\n\x1B[2J\n", 1 << 8, "start-failed", "?[2J"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct vm_end end;
        vm_end_determine(&end, cases[i].output, cases[i].status);
        assert_string_equal(end.reason, cases[i].reason);
        assert_string_equal(end.detail, cases[i].detail);
    }
}

static void last_words_are_found_in_a_long_file(void **state)
{
    const int directory = **(int **)state;
    struct vm_end end;
    assert_false(vm_end_read(&end, directory, "output", 0));
    put(directory, "output", "");
    int descriptor = openat(directory, "output", O_WRONLY | O_APPEND);
    for (int i = 0; i < 2000; i++)
        dprintf(descriptor, "loam-worker: web1: line %d\n", i);
    dprintf(descriptor, "%s", OFF("reset", "the guest has reset itself"));
    close(descriptor);
    assert_true(vm_end_read(&end, directory, "output", 4 << 8));
    assert_string_equal(end.reason, "reset");
}

static void end_is_kept(void **state)
{
    const int directory = **(int **)state;
    const struct vm_end known = {.reason = "killed", .detail = "by \"signal\" 9", .path = "/d.vhd"};
    struct vm_end end;
    put(directory, "output", RUNNING "half a line");
    assert_int_equal(vm_end_append(&known, directory, "output"), 0);
    assert_true(vm_end_read(&end, directory, "output", PROCESS_STATUS_UNKNOWN));
    assert_string_equal(end.reason, known.reason);
    assert_string_equal(end.detail, known.detail);
    assert_string_equal(end.path, known.path);
    assert_int_equal(vm_end_append(&known, directory, "none/output"), ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(similar_names_resemble),
        cmocka_unit_test(text_becomes_clean),
        cmocka_unit_test(stored_definition_comes_back),
        cmocka_unit_test(request_changes_what_it_names),
        cmocka_unit_test(definitions_are_checked),
        cmocka_unit_test(worker_says_why_it_ended),
    };
    const struct CMUnitTest file_tests[] = {
        cmocka_unit_test(store_keeps_whole_files),
        cmocka_unit_test(store_follows_no_links),
        cmocka_unit_test(last_words_are_found_in_a_long_file),
        cmocka_unit_test(end_is_kept),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return cmocka_run_group_tests_name("files", file_tests, make_directory, remove_directory) + failed;
}
