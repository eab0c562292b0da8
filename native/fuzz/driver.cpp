// Runs a fuzz target where libFuzzer is missing (g++): replays the files of the folders named, then mutates them and
// what it made of them, the same way for the same seed. It sees no coverage: it finds what is near the surface.
//
//   fuzz_NAME [-runs=N] [-seed=N] [-max_len=N] [-max_total_time=SECONDS] [-len_control=N] [FOLDER|FILE]...
//
// libFuzzer's own flags, so that one command line serves both. On a failure the input is in crash-fuzz_NAME.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// The sanitizers', when they are linked.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kPoolSize = 512;

Bytes current;
std::string crash_name;

void keep_input() {
  std::ofstream(crash_name, std::ios::binary)
      .write(reinterpret_cast<const char*>(current.data()), static_cast<std::streamsize>(current.size()));
  std::fprintf(stderr, "the input is in %s (%zu bytes)\n", crash_name.c_str(), current.size());
}

void on_signal(int) {
  keep_input();
  std::_Exit(1);
}

struct Options {
  std::uint64_t runs = 20'000;
  std::uint64_t seed = 1;
  std::size_t max_length = 4'096;
  double seconds = 0;  // 0: no limit
  std::vector<std::string> places;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "-runs") {
      options.runs = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "-seed") {
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "-max_len") {
      options.max_length = static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10));
    } else if (name == "-max_total_time") {
      options.seconds = std::strtod(value.c_str(), nullptr);
    } else if (name == "-len_control") {
      continue;  // libFuzzer's alone
    } else if (!argument.empty() && argument.front() == '-') {
      std::fprintf(stderr, "%s: not an option of this driver\n", argument.c_str());
      std::exit(2);
    } else {
      options.places.push_back(argument);
    }
  }
  return options;
}

void read_file(const std::filesystem::path& path, std::vector<Bytes>* pool) {
  std::ifstream file(path, std::ios::binary);
  pool->emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::vector<Bytes> read_pool(const std::vector<std::string>& places) {
  std::vector<Bytes> pool;
  for (const std::string& place : places) {
    if (!std::filesystem::is_directory(place)) {
      read_file(place, &pool);
      continue;
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) {
        files.push_back(entry.path());
      }
    }
    std::sort(files.begin(), files.end());  // the order of a folder is the file system's
    for (const auto& file : files) {
      read_file(file, &pool);
    }
  }
  return pool;
}

void run(const Bytes& input) {
  current = input;
  // Memory of exactly this size, so that reading beyond it is seen.
  const Bytes exact(current.begin(), current.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::size_t max_length) : random_(seed), max_length_(max_length) {}

  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

  Bytes operator()(const std::vector<Bytes>& pool) {
    Bytes input = pool.empty() || below(8) == 0 ? Bytes(below(max_length_ + 1)) : pool[below(pool.size())];
    if (below(4) == 0) {
      for (std::uint8_t& byte : input) {
        byte = static_cast<std::uint8_t>(random_());
      }
    }
    for (std::size_t change = 1 + below(8); change > 0; --change) {
      mutate(&input, pool);
    }
    if (input.size() > max_length_) {
      input.resize(max_length_);
    }
    return input;
  }

 private:
  void mutate(Bytes* input, const std::vector<Bytes>& pool) {
    static constexpr std::uint64_t kNumbers[] = {0,
                                                 1,
                                                 2,
                                                 3,
                                                 15,
                                                 16,
                                                 17,
                                                 31,
                                                 32,
                                                 63,
                                                 64,
                                                 127,
                                                 128,
                                                 255,
                                                 256,
                                                 4095,
                                                 4096,
                                                 32767,
                                                 32768,
                                                 65535,
                                                 65536,
                                                 0x7FFFFFFF,
                                                 0x80000000,
                                                 0xFFFFFFFF,
                                                 0x7FFFFFFFFFFFFFFF,
                                                 0x8000000000000000,
                                                 0xFFFFFFFFFFFFFFFF};
    if (input->empty()) {
      input->resize(1 + below(64));
    }
    const std::size_t at = below(input->size());
    const auto place = input->begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = 1 + below(std::min<std::size_t>(input->size() - at, 64));
    switch (below(7)) {
      case 0:
        (*input)[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        (*input)[at] = static_cast<std::uint8_t>(random_());
        break;
      case 2: {  // a telling number in 1, 2, 4 or 8 bytes
        const std::uint64_t number = kNumbers[below(std::size(kNumbers))] + below(3) - 1;
        std::memcpy(&*place, &number, std::min<std::size_t>(input->size() - at, std::size_t{1} << below(4)));
        break;
      }
      case 3:
        input->erase(place, place + static_cast<std::ptrdiff_t>(length));
        break;
      case 4: {  // a piece of it once more
        const Bytes piece(place, place + static_cast<std::ptrdiff_t>(length));
        input->insert(input->begin() + static_cast<std::ptrdiff_t>(below(input->size() + 1)), piece.begin(),
                      piece.end());
        break;
      }
      case 5:
        std::fill_n(place, length, static_cast<std::uint8_t>(below(2) == 0 ? 0 : 255));
        break;
      default:
        if (!pool.empty()) {  // the rest of another one
          const Bytes& other = pool[below(pool.size())];
          const std::size_t from = std::min(at, other.size());
          input->resize(at);
          input->insert(input->end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
        }
    }
  }

  std::mt19937_64 random_;
  std::size_t max_length_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  crash_name = "crash-" + name;
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(&keep_input);
  }
  for (const int signal : {SIGILL, SIGTRAP, SIGABRT}) {
    std::signal(signal, &on_signal);
  }
  std::vector<Bytes> pool = read_pool(options.places);
  const std::size_t replayed = pool.size();
  for (const Bytes& input : pool) {
    run(input);
  }
  Mutator mutate(options.seed, options.max_length);
  const auto started = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  std::uint64_t done = 0;
  for (; done < options.runs && (options.seconds <= 0 || elapsed() < options.seconds); ++done) {
    Bytes input = mutate(pool);
    run(input);
    // Some of it stays, so that changes add up.
    if (pool.size() < kPoolSize) {
      pool.push_back(std::move(input));
    } else if (mutate.below(4) == 0) {
      pool[replayed + mutate.below(kPoolSize) * (pool.size() - replayed) / kPoolSize] = std::move(input);
    }
  }
  std::printf("%s: %zu replayed, %llu made from seed %llu, %.1f s\n", name.c_str(), replayed,
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(options.seed), elapsed());
  return 0;
}
