// Threads as fibers. A fiber runs until it has to wait for others; which one runs next is drawn at random: within a
// warp any lane that can, between warps now and then any and else by a priority, so that some run far ahead.
#include "block.h"
#include <sys/mman.h>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {
namespace {
constexpr size_t STACK = 256 << 10, GUARD = 4 << 10;
char* stacks;
uint64_t random_state;
struct Memory { void* at; size_t bytes; };
std::vector<Memory> statics;
const Kernel* running;
const Argument* with;
unsigned runnable[32], order[32], unfinished;
bool keeps_order;
ucontext_t outside;
[[maybe_unused]] void* outside_fake_stack;
[[maybe_unused]] const void* outside_stack;
[[maybe_unused]] size_t outside_stack_size;

char* stack_of(const Fiber& fiber) { return stacks + fiber.number * (STACK + GUARD) + GUARD; }

void draw_order() {
    unsigned warps = thread_count / 32;
    for (unsigned i = 0; i < warps; i++) order[i] = i;
    for (unsigned i = warps; i > 1; i--) std::swap(order[i - 1], order[draw(i)]);
    keeps_order = draw(2);
}

void report_deadlock() {
    std::string places;
    for (unsigned i = 0; i < thread_count; i++) {
        Fiber& f = fibers[i];
        char text[128];
        if (f.finished) snprintf(text, sizeof text, "has returned");
        else snprintf(text, sizeof text, "waits in %s at line %d for lanes %08x", f.at, f.line, f.mask);
        if (i && i % 32 && fibers[i - 1].at == f.at && fibers[i - 1].line == f.line && fibers[i - 1].finished == f.finished)
            continue;
        places += "\n  thread " + std::to_string(i) + " " + text;
    }
    fail("threads wait for others that never come%s", places.c_str());
}

Fiber* next() {
    if (!keeps_order && draw(16) == 0) draw_order(), keeps_order = false;
    for (unsigned i = 0; i < thread_count / 32; i++) {
        unsigned warp = order[i];
        if (!runnable[warp]) continue;
        unsigned lane = draw(32);
        while (!(runnable[warp] >> lane & 1)) lane = (lane + 1) % 32;
        runnable[warp] &= ~(1u << lane);
        return &fibers[warp * 32 + lane];
    }
    return nullptr;
}

void landed() {
    ASAN(__sanitizer_finish_switch_fiber(current->fake_stack, nullptr, nullptr));
    threadIdx = current->index;
}

void switch_to(Fiber* to);

void body() {
    ASAN(__sanitizer_finish_switch_fiber(nullptr, outside_stack ? nullptr : &outside_stack, outside_stack ? nullptr : &outside_stack_size));
    threadIdx = current->index;
    running->call(with);
    current->finished = true;
    unfinished--;
    switch_to(next());
    __builtin_unreachable();
}

__attribute__((noinline)) void jump(Fiber* to) {
    if (to->started) __builtin_longjmp(to->resume, 1);
    to->started = true;
    setcontext(&to->entry);
}

// To a fiber, or outside where there is none.
__attribute__((noinline)) void switch_to(Fiber* to) {
    Fiber* from = current;
    if (to == from) return;
    if (!to) {
        if (unfinished) report_deadlock();
        ASAN(__sanitizer_start_switch_fiber(nullptr, outside_stack, outside_stack_size));
        setcontext(&outside);
    }
    ASAN(__sanitizer_start_switch_fiber(from->finished ? nullptr : &from->fake_stack, stack_of(*to), STACK));
    current = to;
    if (from->finished || !__builtin_setjmp(from->resume)) jump(to);
    landed();
}

void run_fibers() {
    volatile bool back = false;
    getcontext(&outside);
    if (back) return;
    back = true;
    current = next();
    current->started = true;
    ASAN(__sanitizer_start_switch_fiber(&outside_fake_stack, stack_of(*current), STACK));
    setcontext(&current->entry);
}
}

Fiber fibers[1024];
Fiber* current;
unsigned thread_count, block_phase;
const char* kernel_name;

void seed(uint64_t value) { random_state = value; }

unsigned draw(unsigned below) {  // SplitMix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (unsigned)((z ^ z >> 31) >> 32) % below;
}

bool on_a_stack(const void* at) {
    return stacks && (size_t)((char*)at - stacks) < 1024 * (STACK + GUARD);
}

bool in_shared_memory(const void* at, size_t bytes) {
    auto within = [&](const void* from, size_t size) { return (size_t)((char*)at - (char*)from) + bytes <= size; };
    for (Memory memory : statics)
        if (within(memory.at, memory.bytes)) return true;
    return within(dynamic_shared, MOST_DYNAMIC_SHARED);
}

static void poison(void* at, size_t bytes) { memset(at, 0xff, bytes); }

Shared::Shared(void* at, size_t bytes) {
    watch(at, bytes, true, "static shared memory", statics.size());
    statics.push_back({at, bytes});
    poison(at, bytes);
}

void run_block(const Kernel& kernel, const Argument* arguments, size_t dynamic_bytes) {
    running = &kernel, with = arguments;
    thread_count = blockDim.x * blockDim.y * blockDim.z;
    if (!stacks) {
        size_t all = 1024 * (STACK + GUARD);
        stacks = (char*)mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) fail("no memory for stacks");
    }
    for (Memory memory : statics) poison(memory.at, memory.bytes);
    ASAN(__asan_unpoison_memory_region(dynamic_shared, MOST_DYNAMIC_SHARED));
    poison(dynamic_shared, dynamic_bytes);
    ASAN(__asan_poison_memory_region(dynamic_shared + dynamic_bytes, MOST_DYNAMIC_SHARED - dynamic_bytes));
    block_phase = 0, unfinished = thread_count;
    for (unsigned i = 0; i < thread_count; i++) {
        Fiber& f = fibers[i];
        f = Fiber();
        f.number = i;
        f.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        mprotect(stack_of(f) - GUARD, GUARD, PROT_NONE);
        getcontext(&f.entry);
        f.entry.uc_stack.ss_sp = stack_of(f), f.entry.uc_stack.ss_size = STACK;
        makecontext(&f.entry, body, 0);
        runnable[i / 32] |= 1u << i % 32;
    }
    draw_order();
    run_fibers();
    ASAN(__sanitizer_finish_switch_fiber(outside_fake_stack, nullptr, nullptr));
}

void meet(unsigned mask, const char* at, int line, void* operand, void (*perform)(Fiber*, unsigned)) {
    Fiber* warp = current - current->number % 32;
    if (!(mask >> current->number % 32 & 1)) fail("%s at line %d: lane %d is not in its own mask %08x", at, line, current->number % 32, mask);
    current->at = at, current->line = line, current->mask = mask, current->operand = operand;
    for (unsigned lane = 0; lane < 32; lane++) {
        Fiber& f = warp[lane];
        if (mask >> lane & 1 && !(f.at == at && f.line == line && f.mask == mask)) return switch_to(next());
    }
    perform(warp, mask);
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) warp[lane].at = nullptr;
    runnable[current->number / 32] |= mask;
    switch_to(next());
}
}

void __syncthreads(int line) {
    using namespace emulator;
    static const char* const at = "__syncthreads";
    current->at = at, current->line = line, current->mask = 0xffffffff;
    for (unsigned i = 0; i < thread_count; i++)
        if (fibers[i].at != at || fibers[i].line != line) return switch_to(next());
    for (unsigned i = 0; i < thread_count; i++) fibers[i].at = nullptr, runnable[i / 32] |= 1u << i % 32;
    block_phase++;
    draw_order();
    switch_to(next());
}
