// Reads buffers and launches from the standard input, runs them, and writes the buffers to the standard output. All
// numbers are little-endian; `launch.rs` writes what is read here.
//
//   seed u64; number of buffers u32; of each its bytes u64 and what is in it; number of launches u32; of each
//   name (length u32, bytes), grid 3 x u32, block 3 x u32, dynamic shared memory in bytes u32, number of arguments u32;
//   of each 0 u8, buffer u32, offset in bytes u64, bytes of an element u32; or 1 u8, length u32, bytes of a value; or 2 u8.
#include "block.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include <unistd.h>

namespace emulator {
void fail(const char* format, ...) {
    if (kernel_name) fprintf(stderr, "%s, block (%u, %u, %u): ", kernel_name, blockIdx.x, blockIdx.y, blockIdx.z);
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(3);
}

namespace {
void read_bytes(void* to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) fail("the input ends early");
}
template <class T> T read() {
    T value;
    read_bytes(&value, sizeof value);
    return value;
}
std::string read_string() {
    std::string text(read<uint32_t>(), ' ');
    read_bytes(&text[0], text.size());
    return text;
}
dim3 read_dim() {
    dim3 d;
    d.x = read<uint32_t>(), d.y = read<uint32_t>(), d.z = read<uint32_t>();
    return d;
}

struct Buffer { char* data; size_t bytes; };

void launch(const std::vector<Buffer>& buffers) {
    std::string name = read_string();
    kernel_name = name.c_str();
    gridDim = read_dim(), blockDim = read_dim();
    size_t dynamic_bytes = read<uint32_t>();
    std::vector<Argument> arguments(read<uint32_t>());
    std::vector<std::string> values(arguments.size());
    for (size_t i = 0; i < arguments.size(); i++) switch (read<uint8_t>()) {
        case 0: {
            const Buffer& buffer = buffers.at(read<uint32_t>());
            char* data = buffer.data + read<uint64_t>();
            arguments[i] = {true, read<uint32_t>(), data};
            break;
        }
        case 1:
            values[i] = read_string();
            arguments[i] = {false, values[i].size(), &values[i][0]};
            break;
        default: arguments[i] = {true, 0, nullptr};
    }
    const Kernel* kernel = nullptr;
    for (size_t i = 0; i < kernel_count; i++)
        if (name == kernels[i].name) kernel = &kernels[i];
    if (!kernel) fail("there is no such kernel");
    if (kernel->arity != arguments.size()) fail("%zu arguments where %zu are taken", arguments.size(), kernel->arity);
    kernel->check(arguments.data());
    size_t threads = (size_t)blockDim.x * blockDim.y * blockDim.z;
    if (threads % 32 || threads == 0 || threads > 1024) fail("a block of %zu threads is not one of whole warps", threads);
    if (dynamic_bytes > MOST_DYNAMIC_SHARED) fail("%zu bytes of dynamic shared memory", dynamic_bytes);
    if (!gridDim.x || !gridDim.y || !gridDim.z || gridDim.y > 65535 || gridDim.z > 65535)
        fail("a grid of %u x %u x %u", gridDim.x, gridDim.y, gridDim.z);

    forget_accesses();
    std::vector<unsigned> order(gridDim.x * gridDim.y * gridDim.z);
    for (size_t i = 0; i < order.size(); i++) order[i] = i;
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[draw(i)]);
    for (unsigned i : order) {
        blockIdx = {i % gridDim.x, i / gridDim.x % gridDim.y, i / gridDim.x / gridDim.y};
        run_block(*kernel, arguments.data(), dynamic_bytes);
    }
    kernel_name = nullptr;
}
}
}

int main() {
    using namespace emulator;
    seed(read<uint64_t>());
    std::vector<Buffer> buffers(read<uint32_t>());
    for (size_t i = 0; i < buffers.size(); i++) {
        Buffer& b = buffers[i];
        b.bytes = read<uint64_t>();
        // Aligned as a GPU's allocations are, and each its own, so that AddressSanitizer knows where it ends.
        if (posix_memalign((void**)&b.data, 256, b.bytes)) fail("no memory for %zu bytes", b.bytes);
        read_bytes(b.data, b.bytes);
        watch(b.data, b.bytes, false, "buffer", i);
    }
    watch(dynamic_shared, MOST_DYNAMIC_SHARED, true, "dynamic shared memory", 0);
    for (uint32_t launches = read<uint32_t>(); launches > 0; launches--) launch(buffers);
    for (const Buffer& b : buffers) fwrite(b.data, 1, b.bytes, stdout);
    fflush(stdout);
    _exit(0);
}
