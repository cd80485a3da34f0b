# Finds NCCL as the target Nccl::Nccl: where NVIDIA's packages put it, beside the CUDA toolkit, or in the folder that NCCL_ROOT or the
# environment's NCCL_HOME names: one with include/nccl.h and lib/libnccl.so or libnccl.so.2, such as nvidia/nccl of the Python package
# nvidia-nccl-cu13.
set(hints ${NCCL_ROOT} ENV NCCL_HOME ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_LIBRARY_DIR}/..)
find_path(Nccl_INCLUDE_DIR nccl.h HINTS ${hints} PATH_SUFFIXES include)
find_library(Nccl_LIBRARY NAMES nccl libnccl.so.2 HINTS ${hints} PATH_SUFFIXES lib lib64)
if(Nccl_INCLUDE_DIR)
  file(STRINGS ${Nccl_INCLUDE_DIR}/nccl.h lines REGEX "define NCCL_(MAJOR|MINOR|PATCH) +[0-9]+")
  string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
  list(JOIN numbers "." Nccl_VERSION)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Nccl REQUIRED_VARS Nccl_LIBRARY Nccl_INCLUDE_DIR VERSION_VAR Nccl_VERSION
  REASON_FAILURE_MESSAGE "VIRGIL_NCCL is ON: install NCCL with its headers (NVIDIA's Debian and Ubuntu packages: libnccl-dev), name its \
folder with -DNCCL_ROOT=FOLDER, or configure with -DVIRGIL_NCCL=OFF for one GPU")
if(Nccl_FOUND AND NOT TARGET Nccl::Nccl)
  add_library(Nccl::Nccl INTERFACE IMPORTED)
  target_include_directories(Nccl::Nccl INTERFACE ${Nccl_INCLUDE_DIR})
  target_link_libraries(Nccl::Nccl INTERFACE ${Nccl_LIBRARY})
endif()
