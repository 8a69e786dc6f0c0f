// Compiles a CUDA source by NVRTC and prints its log.
//   nvrtc LIBRARY SOURCE OPTION...
#include <cstdio>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <string>

struct Program;

int main(int count, char** words) {
    void* library = count > 2 ? dlopen(words[1], RTLD_NOW) : nullptr;
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
    auto create = (int (*)(Program**, const char*, const char*, int, const char**, const char**))dlsym(library, "nvrtcCreateProgram");
    auto compile = (int (*)(Program*, int, const char**))dlsym(library, "nvrtcCompileProgram");
    auto log_size = (int (*)(Program*, size_t*))dlsym(library, "nvrtcGetProgramLogSize");
    auto get_log = (int (*)(Program*, char*))dlsym(library, "nvrtcGetProgramLog");
    if (!create || !compile || !log_size || !get_log) return 2;

    std::ifstream file(words[2]);
    std::string source((std::istreambuf_iterator<char>(file)), {});
    Program* program;
    if (create(&program, source.c_str(), words[2], 0, nullptr, nullptr)) return 2;
    int result = compile(program, count - 3, (const char**)words + 3);
    size_t bytes = 0;
    log_size(program, &bytes);
    std::string log(bytes, ' ');
    get_log(program, &log[0]);
    fputs(log.c_str(), stdout);
    return result != 0;
}
