// A block of threads as fibers, and where they wait for each other.
#pragma once
#include "cuda.h"
#include <ucontext.h>
#include <vector>
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ASAN(call) call
#else
#define ASAN(call)
#endif

namespace emulator {

// An asynchronous copy of 16 bytes.
struct Copy {
    void* to;
    const void* from;
    bool valid;
};

struct Fiber {
    ucontext_t entry;
    void* resume[5];
    void* fake_stack;
    bool started, finished;
    uint3 index;
    unsigned number;
    // Where it waits, if it does; what it brought there; how often it has met its warp in __syncwarp.
    const char* at;
    int line;
    unsigned mask;
    void* operand;
    unsigned warp_phase;
    // Groups of copies under way, the last one open.
    std::vector<std::vector<Copy>> copies;
};

extern Fiber fibers[1024];
extern Fiber* current;
extern unsigned thread_count;
// How often the block has met in __syncthreads.
extern unsigned block_phase;
extern const char* kernel_name;

void run_block(const Kernel& kernel, const Argument* arguments, size_t dynamic_bytes);

// Waits until all lanes of `mask` have come to `at` in `line`; the last calls `perform` on what each lane brought.
void meet(unsigned mask, const char* at, int line, void* operand, void (*perform)(Fiber* warp, unsigned mask));

void seed(uint64_t value);
unsigned draw(unsigned below);

bool in_shared_memory(const void* at, size_t bytes);
bool on_a_stack(const void* at);

// races.cc: memory to look after, the beginning of a launch, and an access by the instruction in front of `code`.
void watch(const void* begin, size_t bytes, bool shared, const char* what, unsigned number);
void forget_accesses();
void access(const Fiber& thread, const void* at, size_t bytes, bool write, const void* code);
}
