/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/vnc_message.h"

#include <endian.h>
#include <rfb/rfbproto.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static uint16_t read_16(const uint8_t *bytes)
{
    uint16_t value;

    memcpy(&value, bytes, sizeof value);
    return be16toh(value);
}

static uint32_t read_32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return be32toh(value);
}

/* 7.1.1: "RFB xxx.yyy\n" */
static bool is_version(const uint8_t *bytes)
{
    static const char form[VNC_MESSAGE_VERSION_LENGTH + 1] = "RFB ddd.ddd\n";

    for (unsigned i = 0; i < VNC_MESSAGE_VERSION_LENGTH; i++) {
        bool digit = bytes[i] >= '0' && bytes[i] <= '9';

        if (form[i] == 'd' ? !digit : bytes[i] != (uint8_t)form[i])
            return false;
    }
    return true;
}

/* A colour of a pixel format (7.4): its greatest value is 2^n - 1, and lies within the pixel. */
static bool is_colour(unsigned bits, uint16_t maximum, uint8_t shift)
{
    return maximum > 0 && (maximum & (maximum + 1u)) == 0 && shift < bits &&
           (uint64_t)maximum << shift <= UINT64_MAX >> (64 - bits);
}

/* 7.5.1; what libvncserver counts with is in its range. */
static bool is_pixel_format(const uint8_t *bytes)
{
    const uint8_t *format = bytes + 4;
    unsigned bits = format[0];

    if (bits != 8 && bits != 16 && bits != 32)
        return false;
    if (!format[3]) /* a colour map */
        return bits == 8;
    return is_colour(bits, read_16(format + 4), format[10]) && is_colour(bits, read_16(format + 6), format[11]) &&
           is_colour(bits, read_16(format + 8), format[12]);
}

static enum vnc_verdict look_fixed(size_t count, uint64_t *length, size_t needed)
{
    *length = needed;
    return count < needed ? VNC_MESSAGE_INCOMPLETE : VNC_MESSAGE_WHOLE;
}

static enum vnc_verdict look_encodings(const uint8_t *bytes, size_t count, uint64_t *length)
{
    if (count < sz_rfbSetEncodingsMsg)
        return VNC_MESSAGE_INCOMPLETE;
    if (read_16(bytes + 2) > VNC_MESSAGE_ENCODINGS)
        return VNC_MESSAGE_WRONG;
    return look_fixed(count, length, sz_rfbSetEncodingsMsg + 4u * read_16(bytes + 2));
}

/* The clipboard of viewers goes nowhere. A negative length is that of the extended form. */
static enum vnc_verdict look_cut_text(const uint8_t *bytes, size_t count, uint64_t *length)
{
    int64_t text;

    if (count < sz_rfbClientCutTextMsg)
        return VNC_MESSAGE_INCOMPLETE;
    text = (int32_t)read_32(bytes + 4);
    *length = sz_rfbClientCutTextMsg + (uint64_t)(text < 0 ? -text : text);
    return VNC_MESSAGE_IGNORED;
}

static enum vnc_verdict look_normal(const uint8_t *bytes, size_t count, uint64_t *length)
{
    enum vnc_verdict verdict;

    switch (bytes[0]) {
    case rfbSetPixelFormat:
        verdict = look_fixed(count, length, sz_rfbSetPixelFormatMsg);
        return verdict == VNC_MESSAGE_WHOLE && !is_pixel_format(bytes) ? VNC_MESSAGE_WRONG : verdict;
    case rfbSetEncodings:
        return look_encodings(bytes, count, length);
    case rfbFramebufferUpdateRequest:
        return look_fixed(count, length, sz_rfbFramebufferUpdateRequestMsg);
    case rfbKeyEvent:
        return look_fixed(count, length, sz_rfbKeyEventMsg);
    case rfbPointerEvent:
        return look_fixed(count, length, sz_rfbPointerEventMsg);
    case rfbClientCutText:
        return look_cut_text(bytes, count, length);
    default:
        return VNC_MESSAGE_WRONG;
    }
}

static enum vnc_verdict look_security(const uint8_t *bytes, uint64_t *length, uint8_t type)
{
    *length = 1;
    return bytes[0] == type ? VNC_MESSAGE_WHOLE : VNC_MESSAGE_WRONG;
}

enum vnc_verdict vnc_message_look(enum vnc_phase phase, const uint8_t *bytes, size_t count, uint64_t *length)
{
    enum vnc_verdict verdict;

    if (count == 0)
        return VNC_MESSAGE_INCOMPLETE;
    switch (phase) {
    case VNC_PHASE_VERSION:
        verdict = look_fixed(count, length, VNC_MESSAGE_VERSION_LENGTH);
        return verdict == VNC_MESSAGE_WHOLE && !is_version(bytes) ? VNC_MESSAGE_WRONG : verdict;
    case VNC_PHASE_SECURITY:
        return look_security(bytes, length, rfbSecTypeNone);
    case VNC_PHASE_SECURITY_PASSWORD:
        return look_security(bytes, length, rfbSecTypeVncAuth);
    case VNC_PHASE_PASSWORD:
        return look_fixed(count, length, CHALLENGESIZE);
    case VNC_PHASE_INITIALISATION:
        return look_fixed(count, length, sz_rfbClientInitMsg);
    default:
        return look_normal(bytes, count, length);
    }
}

/*
 * The encodings that libvncserver may use. Not among them: those of UltraVNC; cursors, since the guest draws its
 * own; and what would let a viewer ask for another size of the screen.
 */
static bool is_served(uint32_t encoding)
{
    static const uint32_t served[] = {rfbEncodingRaw,  rfbEncodingHextile,  rfbEncodingZlib,     rfbEncodingTight,
                                      rfbEncodingZRLE, rfbEncodingLastRect, rfbEncodingNewFBSize};

    for (unsigned i = 0; i < COUNT(served); i++)
        if (encoding == served[i])
            return true;
    return (encoding >= rfbEncodingCompressLevel0 && encoding <= rfbEncodingCompressLevel9) ||
           (encoding >= rfbEncodingQualityLevel0 && encoding <= rfbEncodingQualityLevel9);
}

size_t vnc_message_filter(enum vnc_phase phase, uint8_t *bytes, size_t length)
{
    unsigned count, kept = 0;
    uint16_t number;

    if (phase != VNC_PHASE_NORMAL || bytes[0] != rfbSetEncodings)
        return length;
    count = read_16(bytes + 2);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *encoding = bytes + sz_rfbSetEncodingsMsg + 4u * i;

        if (is_served(read_32(encoding)))
            memmove(bytes + sz_rfbSetEncodingsMsg + 4u * kept++, encoding, 4);
    }
    number = htobe16((uint16_t)kept);
    memcpy(bytes + 2, &number, sizeof number);
    return sz_rfbSetEncodingsMsg + 4u * kept;
}
