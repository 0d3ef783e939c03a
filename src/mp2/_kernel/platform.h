/* What C leaves to the platform: one monotonic clock and relaxed atomics.
 *
 * The clock is the only one the package measures durations with: CLOCK_MONOTONIC on Linux and
 * CLOCK_UPTIME_RAW on macOS stop while the machine sleeps, QueryPerformanceCounter on Windows goes
 * on. Relaxed order is enough for the atomics: nothing else is published through them, results are
 * handed over under a Python lock. */
#ifndef MP2_PLATFORM_H
#define MP2_PLATFORM_H

#include <stdint.h>

#ifndef MP2_CHECKED
#define MP2_CHECKED 0
#endif

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static inline int64_t mp2_now_ns(void)
{
    static int64_t per_s = 0;
    LARGE_INTEGER value;
    if (per_s == 0) {
        QueryPerformanceFrequency(&value);
        per_s = value.QuadPart;
    }
    QueryPerformanceCounter(&value);
    return value.QuadPart / per_s * 1000000000LL + value.QuadPart % per_s * 1000000000LL / per_s;
}
#else
#include <time.h>

static inline int64_t mp2_now_ns(void)
{
#if defined(__APPLE__)
    return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
#endif
}
#endif

#if defined(_MSC_VER)
#include <intrin.h>
static inline int64_t mp2_load(const volatile int64_t *cell) { return *cell; }
static inline void mp2_store(volatile int64_t *cell, int64_t value)
{
    _InterlockedExchange64(cell, value);
}
static inline int mp2_swap_if(volatile int64_t *cell, int64_t seen, int64_t value)
{
    return _InterlockedCompareExchange64(cell, value, seen) == seen;
}
#else
static inline int64_t mp2_load(const int64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}
static inline void mp2_store(int64_t *cell, int64_t value)
{
    __atomic_store_n(cell, value, __ATOMIC_RELAXED);
}
static inline int mp2_swap_if(int64_t *cell, int64_t seen, int64_t value)
{
    return __atomic_compare_exchange_n(cell, &seen, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
#endif

/* For what one thread makes and others read: a cell that says so, written last and read first. */
#if defined(_MSC_VER)
static inline void mp2_publish(volatile int64_t *cell, int64_t value) { mp2_store(cell, value); }
static inline int64_t mp2_published(volatile int64_t *cell)
{
    return _InterlockedCompareExchange64(cell, 0, 0);
}
#else
static inline void mp2_publish(int64_t *cell, int64_t value)
{
    __atomic_store_n(cell, value, __ATOMIC_RELEASE);
}
static inline int64_t mp2_published(int64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_ACQUIRE);
}
#endif

/* Raises a cell to `value`; a smaller value changes nothing. Other threads may raise it too. */
static inline void mp2_raise(int64_t *cell, int64_t value)
{
    int64_t seen = mp2_load(cell);
    while (seen < value && !mp2_swap_if(cell, seen, value))
        seen = mp2_load(cell);
}

/* For tests of checked builds: most words of work between two looks at the clock. */
static int64_t mp2_most_words;
static inline void mp2_note_words(int64_t words)
{
    if (MP2_CHECKED)
        mp2_raise(&mp2_most_words, words);
}

#endif
