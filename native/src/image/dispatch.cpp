// Which kernels exist here, and which one runs.
#include "../dispatch.h"

#include "kernels.h"
#include "safelight/image.h"

namespace safelight::image {
namespace {

using KernelDispatch = Dispatch<Kernels, kKernelCount>;

KernelDispatch& dispatch() noexcept {
  static KernelDispatch all({{
      {"scalar", &kScalarKernels},
      {"sse2", sse2_kernels()},
      {"avx2", avx2_kernels()},
      {"neon", neon_kernels()},
  }});
  return all;
}

}  // namespace

const Kernels& active_kernels() noexcept { return dispatch().active(); }

KernelInfo kernel_info(std::size_t index) noexcept {
  const KernelDispatch::Choice* choice = dispatch().choice(index);
  return choice == nullptr ? KernelInfo{nullptr, false} : KernelInfo{choice->name, choice->kernels != nullptr};
}

const char* kernel_in_use() noexcept { return dispatch().active_name(); }

Status set_kernel(const char* name) noexcept { return dispatch().force(name); }

}  // namespace safelight::image
