// Finds races: two accesses of one byte by different threads, one of them a write, with no barrier between. A build with
// -fsanitize=thread calls the functions at the end of this file at each access; the sanitizer's own library is left out.
// Threads of a block are ordered by __syncthreads, those of a warp also by __syncwarp, and no others: shuffles, mma and
// ldmatrix order no memory, and a launch's blocks may run in any order.
#include "block.h"
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

namespace emulator {
namespace {
struct Access {
    unsigned block, thread, block_phase, warp_phase;  // block 0: none
};
struct Cell {
    Access write, reads[2];  // of two warps where there are two
};
struct Region {
    const char* begin;
    size_t bytes;
    bool shared;
    const char* what;
    unsigned number;
    std::vector<Cell> cells;
};
std::vector<Region> regions;

bool unordered(const Access& a, const Access& b, bool shared) {
    if (a.block == 0) return false;
    if (a.block != b.block) return !shared;
    if (a.thread == b.thread || a.block_phase != b.block_phase) return false;
    return a.thread / 32 != b.thread / 32 || a.warp_phase == b.warp_phase;
}

void report(const Region& r, size_t offset, const Access& earlier, bool wrote, const Access& now, bool write, const void* code) {
    fprintf(stderr, "race at byte %zu of %s %u: block %u, thread %u %s what block %u, thread %u %s, without a barrier between\n",
            offset, r.what, r.number, now.block - 1, now.thread, write ? "writes" : "reads", earlier.block - 1,
            earlier.thread, wrote ? "wrote" : "read");
    char command[96];
    snprintf(command, sizeof command, "addr2line -s -i -C -e /proc/%d/exe %p >&2", (int)getpid(), (const char*)code - 1);
    if (system(command)) fprintf(stderr, "at %p\n", code);
    fail("there is a race");
}
}

void watch(const void* begin, size_t bytes, bool shared, const char* what, unsigned number) {
    regions.push_back({(const char*)begin, bytes, shared, what, number, {}});
}

void forget_accesses() {
    for (Region& r : regions) r.cells.clear();
}

void access(const Fiber& thread, const void* at, size_t bytes, bool write, const void* code) {
    if (on_a_stack(at)) return;
    for (Region& r : regions) {
        size_t offset = (const char*)at - r.begin;
        if (offset >= r.bytes) continue;
        if (r.cells.empty()) r.cells.resize(r.bytes);
        unsigned block = 1 + blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        Access now = {block, thread.number, block_phase, thread.warp_phase};
        for (size_t i = offset; i < offset + bytes && i < r.bytes; i++) {
            Cell& cell = r.cells[i];
            if (unordered(cell.write, now, r.shared)) report(r, i, cell.write, true, now, write, code);
            if (write) {
                for (Access& read : cell.reads)
                    if (unordered(read, now, r.shared)) report(r, i, read, false, now, write, code);
                cell.write = now;
            } else if (cell.reads[0].block == block && cell.reads[0].thread / 32 != now.thread / 32) {
                cell.reads[1] = now;
            } else {
                cell.reads[0] = now;
            }
        }
        return;
    }
}
}

#define AT __builtin_return_address(0)
#define HOOK(bytes) \
    void __tsan_read##bytes(void* at) { emulator::access(*emulator::current, at, bytes, false, AT); } \
    void __tsan_write##bytes(void* at) { emulator::access(*emulator::current, at, bytes, true, AT); } \
    void __tsan_unaligned_read##bytes(void* at) { emulator::access(*emulator::current, at, bytes, false, AT); } \
    void __tsan_unaligned_write##bytes(void* at) { emulator::access(*emulator::current, at, bytes, true, AT); }
extern "C" {
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16)
void __tsan_read_range(void* at, size_t bytes) { emulator::access(*emulator::current, at, bytes, false, AT); }
void __tsan_write_range(void* at, size_t bytes) { emulator::access(*emulator::current, at, bytes, true, AT); }
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
    emulator::access(*emulator::current, from, bytes, false, AT);
    emulator::access(*emulator::current, to, bytes, true, AT);
    return memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
    emulator::access(*emulator::current, to, bytes, true, AT);
    return memset(to, value, bytes);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
