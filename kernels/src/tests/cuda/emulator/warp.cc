// What the lanes of a warp do together.
#include "block.h"

namespace emulator {

unsigned lane() { return current->number % 32; }

namespace {
struct Shuffle { uint64_t given, taken; unsigned source; };

struct Product { float* d; unsigned a[4], b[2]; float c[4]; };

float half(unsigned pair, int which) { return __uint_as_float(which ? pair & 0xffff0000u : pair << 16); }

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": lane l is of group l / 4 and t = l % 4 in it.
// a_i is in row group (+ 8 for i = 2, 3, 6, 7) and column 2t + i % 2 (+ 8 from i = 4); b_i in row 2t + i % 2 (+ 8 from
// i = 2) and column group; c_i in row group (+ 8 from i = 2) and column 2t + i % 2. Two values share a register.
void multiply(Fiber* warp, unsigned) {
    float a[16][16], b[16][8], c[16][8];
    for (int lane = 0; lane < 32; lane++) {
        Product& p = *(Product*)warp[lane].operand;
        int group = lane / 4, t = lane % 4;
        for (int i = 0; i < 8; i++) a[group + (i / 2 % 2) * 8][2 * t + i % 2 + (i / 4) * 8] = half(p.a[i / 2], i % 2);
        for (int i = 0; i < 4; i++) b[2 * t + i % 2 + (i / 2) * 8][group] = half(p.b[i / 2], i % 2);
        for (int i = 0; i < 4; i++) c[group + (i / 2) * 8][2 * t + i % 2] = p.c[i];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) c[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < 32; lane++) {
        Product& p = *(Product*)warp[lane].operand;
        for (int i = 0; i < 4; i++) p.c[i] = c[lane / 4 + (i / 2) * 8][2 * (lane % 4) + i % 2];
    }
}

struct Load { const uint16_t* row; unsigned r[4]; bool transposed; };

// PTX ISA, ldmatrix: lanes 8m to 8m + 7 give the addresses of the eight rows of matrix m; lane l gets, of each matrix,
// the pair at row l / 4 and columns 2 (l % 4) and the next. With .trans the matrix is transposed as it is loaded.
void load(Fiber* warp, unsigned) {
    uint16_t rows[32][8];
    for (int lane = 0; lane < 32; lane++)
        memcpy(rows[lane], ((Load*)warp[lane].operand)->row, sizeof rows[lane]);
    for (int lane = 0; lane < 32; lane++) {
        Load& mine = *(Load*)warp[lane].operand;
        for (int m = 0; m < 4; m++) {
            auto at = [&](int row, int column) -> unsigned {
                return mine.transposed ? rows[8 * m + column][row] : rows[8 * m + row][column];
            };
            int row = lane / 4, column = 2 * (lane % 4);
            mine.r[m] = at(row, column) | at(row, column + 1) << 16;
        }
    }
}
}

uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, int line) {
    Shuffle mine = {value, 0, source};
    meet(mask, "a shuffle", line, &mine, [](Fiber* warp, unsigned mask) {
        for (unsigned lane = 0; lane < 32; lane++) {
            if (!(mask >> lane & 1)) continue;
            Shuffle& s = *(Shuffle*)warp[lane].operand;
            if (!(mask >> s.source & 1)) fail("a shuffle at line %d: lane %u takes from lane %u, which is not in the mask", warp[lane].line, lane, s.source);
            s.taken = ((Shuffle*)warp[s.source].operand)->given;
        }
    });
    return mine.taken;
}

void mma(float d[4], const unsigned a[4], const unsigned b[2], int line) {
    Product mine = {d, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    meet(0xffffffff, "mma", line, &mine, multiply);
    for (int i = 0; i < 4; i++) d[i] = mine.c[i];
}

void ldmatrix(unsigned r[4], const void* row, bool transposed, int line) {
    if ((uintptr_t)row % 16) fail("ldmatrix at line %d: lane %u gives a row that is not aligned to 16 bytes", line, lane());
    if (!in_shared_memory(row, 16)) fail("ldmatrix at line %d: lane %u gives a row outside of shared memory", line, lane());
    ASAN(if (__asan_region_is_poisoned((void*)row, 16)) fail("ldmatrix at line %d: lane %u gives a row beyond an array", line, lane()));
    access(*current, row, 16, false, __builtin_return_address(0));
    Load mine = {(const uint16_t*)row, {}, transposed};
    meet(0xffffffff, transposed ? "ldmatrix.trans" : "ldmatrix", line, &mine, load);
    for (int m = 0; m < 4; m++) r[m] = mine.r[m];
}
}

// From here on until it is waited for, what is there is anybody's guess.
void copy_async(void* to, const void* from, bool valid) {
    using namespace emulator;
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) fail("an asynchronous copy of lane %u is not aligned to 16 bytes", lane());
    if (!in_shared_memory(to, 16)) fail("an asynchronous copy of lane %u does not go to shared memory", lane());
    ASAN(if (__asan_region_is_poisoned(to, 16)) fail("an asynchronous copy of lane %u goes beyond an array", lane()));
    ASAN(if (valid && __asan_region_is_poisoned((void*)from, 16)) fail("an asynchronous copy of lane %u is of what is beyond an array", lane()));
    access(*current, to, 16, true, __builtin_return_address(0));
    memset(to, 0xff, 16);
    if (current->copies.empty()) current->copies.emplace_back();
    current->copies.back().push_back({to, from, valid});
}

void copy_commit() {
    if (emulator::current->copies.empty()) emulator::current->copies.emplace_back();
    emulator::current->copies.emplace_back();
}

void emulator::copy_wait(unsigned left, const void* code) {
    auto& groups = current->copies;
    while (groups.size() > left + 1) {
        for (Copy copy : groups.front()) {
            if (copy.valid) access(*current, copy.from, 16, false, code);
            access(*current, copy.to, 16, true, code);
            if (copy.valid) memcpy(copy.to, copy.from, 16);
            else memset(copy.to, 0, 16);
        }
        groups.erase(groups.begin());
    }
}

void __syncwarp(unsigned mask, int line) {
    using namespace emulator;
    meet(mask, "__syncwarp", line, nullptr, [](Fiber* warp, unsigned mask) {
        for (unsigned lane = 0; lane < 32; lane++) warp[lane].warp_phase += mask >> lane & 1;
    });
}

unsigned __ballot_sync(unsigned mask, int predicate, int line) {
    using namespace emulator;
    Shuffle mine = {predicate != 0, 0, 0};
    meet(mask, "a ballot", line, &mine, [](Fiber* warp, unsigned mask) {
        unsigned votes = 0;
        for (unsigned lane = 0; lane < 32; lane++)
            if (mask >> lane & 1) votes |= (unsigned)((Shuffle*)warp[lane].operand)->given << lane;
        for (unsigned lane = 0; lane < 32; lane++)
            if (mask >> lane & 1) ((Shuffle*)warp[lane].operand)->taken = votes;
    });
    return mine.taken;
}
