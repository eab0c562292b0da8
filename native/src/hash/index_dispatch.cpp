// Which kernels of the index exist here, and which one runs.
#include "../dispatch.h"
#include "index_kernels.h"
#include "safelight/hash_index.h"

namespace safelight::hash {
namespace {

using KernelDispatch = Dispatch<IndexKernels, kIndexKernelCount>;

KernelDispatch& dispatch() noexcept {
  static KernelDispatch all({{
      {"scalar", &kScalarIndexKernels},
      {"popcnt", popcnt_index_kernels()},
      {"avx2", avx2_index_kernels()},
      {"avx512", avx512_index_kernels()},
      {"neon", neon_index_kernels()},
  }});
  return all;
}

}  // namespace

const IndexKernels& active_index_kernels() noexcept { return dispatch().active(); }

KernelInfo index_kernel_info(std::size_t index) noexcept {
  const KernelDispatch::Choice* choice = dispatch().choice(index);
  return choice == nullptr ? KernelInfo{nullptr, false} : KernelInfo{choice->name, choice->kernels != nullptr};
}

const char* index_kernel_in_use() noexcept { return dispatch().active_name(); }

Status set_index_kernel(const char* name) noexcept { return dispatch().force(name); }

}  // namespace safelight::hash
