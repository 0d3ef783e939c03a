/* What the loops of an instruction set need of the processor and the operating system.
 *
 * Read by cpuid and xgetbv: `__builtin_cpu_supports` knows other names in each compiler, and is
 * always 0 where the compiler's runtime is missing. A virtual machine may hide any single feature,
 * so the table has every one that `MP2_TARGET` lets the compiler use. */
#ifndef MP2_CPU_H
#define MP2_CPU_H

#include <stdint.h>
#include <string.h>

#if defined(MP2_X86)
#include <cpuid.h>

enum { MP2_LEAF_1_ECX, MP2_LEAF_7_EBX, MP2_LEAF_7_ECX, MP2_EXTENDED_1_ECX, MP2_XCR0, MP2_N_CPU };

#define MP2_OSXSAVE (1u << 27)

typedef struct mp2_feature {
    const char *loops;
    const char *name;
    int32_t place;
    uint32_t bits;
} mp2_feature;

/* XCR0 has a bit for each kind of register that the system saves when it switches threads. */
static const mp2_feature mp2_features[] = {
    {"avx2", "registers of avx saved by the system", MP2_XCR0, 0x06},
    {"avx2", "avx", MP2_LEAF_1_ECX, 1u << 28},
    {"avx2", "popcnt", MP2_LEAF_1_ECX, 1u << 23},
    {"avx2", "lzcnt", MP2_EXTENDED_1_ECX, 1u << 5},
    {"avx2", "bmi1", MP2_LEAF_7_EBX, 1u << 3},
    {"avx2", "bmi2", MP2_LEAF_7_EBX, 1u << 8},
    {"avx2", "avx2", MP2_LEAF_7_EBX, 1u << 5},
    {"avx512", "registers of avx512 saved by the system", MP2_XCR0, 0xe6},
    {"avx512", "avx512f", MP2_LEAF_7_EBX, 1u << 16},
    {"avx512", "avx512dq", MP2_LEAF_7_EBX, 1u << 17},
    {"avx512", "avx512bw", MP2_LEAF_7_EBX, 1u << 30},
    {"avx512", "avx512vl", MP2_LEAF_7_EBX, 1u << 31},
    {"avx512", "avx512vpopcntdq", MP2_LEAF_7_ECX, 1u << 14},
};

enum { MP2_N_FEATURES = sizeof(mp2_features) / sizeof(mp2_features[0]) };

/* Fills `cpu` with the registers that the table reads; 0 for those this processor lacks. */
static inline void mp2_read_cpu(uint32_t *cpu)
{
    uint32_t eax, ebx, ecx, edx;
    memset(cpu, 0, MP2_N_CPU * sizeof(*cpu));
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        cpu[MP2_LEAF_1_ECX] = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        cpu[MP2_LEAF_7_EBX] = ebx;
        cpu[MP2_LEAF_7_ECX] = ecx;
    }
    if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx))
        cpu[MP2_EXTENDED_1_ECX] = ecx;
    /* Without this bit xgetbv is an illegal instruction. */
    if (cpu[MP2_LEAF_1_ECX] & MP2_OSXSAVE) {
        __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
        cpu[MP2_XCR0] = eax;
    }
}
#endif

/* Names the `index`-th feature that the loops named `loops` need and this machine lacks; NULL after
 * the last. The loops of avx512 need those of avx2 as well. */
static inline const char *mp2_missing_feature(const char *loops, int32_t index)
{
#if defined(MP2_X86)
    uint32_t cpu[MP2_N_CPU];
    mp2_read_cpu(cpu);
    for (int32_t i = 0; i < MP2_N_FEATURES; i++) {
        const mp2_feature *feature = &mp2_features[i];
        if (strcmp(loops, "avx512") != 0 && strcmp(loops, feature->loops) != 0)
            continue;
        if ((cpu[feature->place] & feature->bits) != feature->bits && index-- == 0)
            return feature->name;
    }
#else
    (void)loops, (void)index;
#endif
    return 0;
}

#endif
