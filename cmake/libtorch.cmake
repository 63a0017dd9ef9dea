# LibTorch as an imported target of our own, so that configuring needs neither CUDA nor Python: only
# libtorch_cpu and libc10 are linked; libtorch_cuda is loaded at run time where there is a driver.
if(NOT WEFT_LIBTORCH)
  set(WEFT_LIBTORCH ${CMAKE_BINARY_DIR}/libtorch)
endif()
find_library(WEFT_TORCH_CPU torch_cpu PATHS ${WEFT_LIBTORCH}/torch/lib ${WEFT_LIBTORCH}/lib NO_DEFAULT_PATH)
find_library(WEFT_C10 c10 PATHS ${WEFT_LIBTORCH}/torch/lib ${WEFT_LIBTORCH}/lib NO_DEFAULT_PATH)
find_path(WEFT_TORCH_INCLUDE torch/types.h
  PATHS ${WEFT_LIBTORCH}/torch/include/torch/csrc/api/include
        ${WEFT_LIBTORCH}/include/torch/csrc/api/include NO_DEFAULT_PATH)
if(NOT WEFT_TORCH_CPU OR NOT WEFT_C10 OR NOT WEFT_TORCH_INCLUDE)
  message(FATAL_ERROR "No LibTorch under '${WEFT_LIBTORCH}'. Run ./dev setup, or give -DWEFT_LIBTORCH=DIR "
    "with an unpacked torch wheel or a libtorch folder.")
endif()
get_filename_component(WEFT_TORCH_LIB ${WEFT_TORCH_CPU} DIRECTORY)
get_filename_component(weft_torch_root ${WEFT_TORCH_INCLUDE}/../../../.. REALPATH)
# libtorch_cpu links the CUDA runtime and CUPTI; in the wheels they lie beside the torch folder.
get_filename_component(weft_cu_lib ${WEFT_TORCH_LIB}/../../nvidia/cu13/lib REALPATH)

find_package(Threads REQUIRED)
# Imported, so that the installed package can name it and define it anew (weftConfig.cmake).
add_library(weft::libtorch INTERFACE IMPORTED GLOBAL)
target_include_directories(weft::libtorch SYSTEM INTERFACE ${weft_torch_root} ${WEFT_TORCH_INCLUDE})
target_link_libraries(weft::libtorch INTERFACE ${WEFT_TORCH_CPU} ${WEFT_C10} Threads::Threads ${CMAKE_DL_LIBS})
# at::parallel_for is a template: it runs on one thread in a file that is compiled without OpenMP. The
# runtime has to be LibTorch's own, so that there is one pool of threads. Clang brings another one.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  file(GLOB weft_gomp ${WEFT_TORCH_LIB}/libgomp*.so*)
  if(weft_gomp)
    list(GET weft_gomp 0 weft_gomp)
  else()
    set(weft_gomp gomp)
  endif()
  target_compile_options(weft::libtorch INTERFACE -fopenmp)
  target_link_libraries(weft::libtorch INTERFACE ${weft_gomp})
endif()
target_link_options(weft::libtorch INTERFACE
  "LINKER:-rpath-link,${WEFT_TORCH_LIB}" "LINKER:-rpath-link,${weft_cu_lib}" "LINKER:--allow-shlib-undefined")
