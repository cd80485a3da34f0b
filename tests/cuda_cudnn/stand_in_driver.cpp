// Stands in for libcuda.so.1 on machines without a GPU: cuDNN looks its functions up, and while it builds a plan gives the
// kernels it has compiled to the three that load a library of code. Nothing can run.
#include <cstdint>

#pragma GCC visibility push(default)
extern "C" {

constexpr int kSuccess = 0;
constexpr int kStubLibrary = 34;  // CUDA_ERROR_STUB_LIBRARY

int cuLibraryLoadData(std::uintptr_t* library) {
  *library = 1;
  return kSuccess;
}
int cuLibraryGetKernel(std::uintptr_t* kernel) {
  *kernel = 1;
  return kSuccess;
}
int cuLibraryUnload() { return kSuccess; }

#define VIRGIL_ABSENT(name) \
  int name() { return kStubLibrary; }
VIRGIL_ABSENT(cuCtxGetCurrent)
VIRGIL_ABSENT(cuCtxGetDevice)
VIRGIL_ABSENT(cuCtxGetLimit)
VIRGIL_ABSENT(cuCtxPopCurrent)
VIRGIL_ABSENT(cuCtxPushCurrent)
VIRGIL_ABSENT(cuDeviceGet)
VIRGIL_ABSENT(cuDeviceGetAttribute)
VIRGIL_ABSENT(cuDeviceGetCount)
VIRGIL_ABSENT(cuDevicePrimaryCtxRelease)
VIRGIL_ABSENT(cuDevicePrimaryCtxReset)
VIRGIL_ABSENT(cuDevicePrimaryCtxRetain)
VIRGIL_ABSENT(cuDriverGetVersion)
VIRGIL_ABSENT(cuFuncGetAttribute)
VIRGIL_ABSENT(cuFuncSetAttribute)
VIRGIL_ABSENT(cuGetErrorName)
VIRGIL_ABSENT(cuGetErrorString)
VIRGIL_ABSENT(cuInit)
VIRGIL_ABSENT(cuKernelGetAttribute)
VIRGIL_ABSENT(cuKernelGetFunction)
VIRGIL_ABSENT(cuKernelSetAttribute)
VIRGIL_ABSENT(cuLaunchCooperativeKernel)
VIRGIL_ABSENT(cuLaunchKernel)
VIRGIL_ABSENT(cuLaunchKernelEx)
VIRGIL_ABSENT(cuLibraryLoadFromFile)
VIRGIL_ABSENT(cuLinkAddData)
VIRGIL_ABSENT(cuLinkAddData_v2)
VIRGIL_ABSENT(cuLinkAddFile_v2)
VIRGIL_ABSENT(cuLinkComplete)
VIRGIL_ABSENT(cuLinkCreate)
VIRGIL_ABSENT(cuLinkCreate_v2)
VIRGIL_ABSENT(cuLinkDestroy)
VIRGIL_ABSENT(cuMemcpyDtoH_v2)
VIRGIL_ABSENT(cuModuleGetFunction)
VIRGIL_ABSENT(cuModuleGetGlobal_v2)
VIRGIL_ABSENT(cuModuleLoadData)
VIRGIL_ABSENT(cuModuleLoadDataEx)
VIRGIL_ABSENT(cuModuleLoadFatBinary)
VIRGIL_ABSENT(cuModuleUnload)
VIRGIL_ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessor)
VIRGIL_ABSENT(cuOccupancyMaxPotentialClusterSize)
VIRGIL_ABSENT(cuStreamGetCtx)
VIRGIL_ABSENT(cuStreamSynchronize)
VIRGIL_ABSENT(cuTensorMapEncodeTiled)
#undef VIRGIL_ABSENT

}  // extern "C"
#pragma GCC visibility pop
