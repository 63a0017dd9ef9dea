# weft_library(NAME sources...): a static library weft_NAME with alias weft::NAME, our warnings and the
# shared precompiled header (the LibTorch headers cost seconds in every file without it).
find_program(WEFT_CCACHE ccache)
if(WEFT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${WEFT_CCACHE})
endif()
find_program(WEFT_MOLD mold)
if(WEFT_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_link_options(-fuse-ld=mold)
endif()

add_library(weft_flags INTERFACE)
target_include_directories(weft_flags INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/weft>)
target_compile_features(weft_flags INTERFACE $<INSTALL_INTERFACE:cxx_std_20>)
target_compile_options(weft_flags INTERFACE $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>>
  $<BUILD_INTERFACE:-fPIC> $<BUILD_INTERFACE:-fvisibility=hidden>)
if(WEFT_DEVELOPER)
  foreach(warning -Wall -Wextra -Wpedantic -Wshadow -Werror)
    target_compile_options(weft_flags INTERFACE $<BUILD_INTERFACE:${warning}>)
  endforeach()
endif()
if(WEFT_FUZZ)
  set(WEFT_SANITIZE fuzzer-no-link,address,undefined)
endif()
if(WEFT_SANITIZE)
  target_compile_options(weft_flags INTERFACE -fsanitize=${WEFT_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(weft_flags INTERFACE -fsanitize=${WEFT_SANITIZE})
  target_compile_definitions(weft_flags INTERFACE WEFT_SANITIZED)
endif()
target_link_libraries(weft_flags INTERFACE weft::libtorch)

file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "// Owns the precompiled header that every target shares.\n")
add_library(weft_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(weft_pch PRIVATE weft_flags)
target_precompile_headers(weft_pch PRIVATE <torch/types.h> <c10/util/StringUtil.h> <filesystem> <map>
  <functional> <memory> <optional> <string> <vector>)

function(weft_common name)
  target_link_libraries(${name} PUBLIC weft_flags)
  target_precompile_headers(${name} REUSE_FROM weft_pch)
endfunction()

function(weft_library name)
  add_library(weft_${name} STATIC ${ARGN})
  add_library(weft::${name} ALIAS weft_${name})
  weft_common(weft_${name})
  set_target_properties(weft_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY weft_libraries weft_${name})
endfunction()

# weft_test(NAME LIBS a b SOURCES ...): a Catch2 program `tests_NAME`, run by ctest under that name.
function(weft_test name)
  cmake_parse_arguments(arg "" "" "LIBS;SOURCES" ${ARGN})
  add_executable(tests_${name} ${arg_SOURCES})
  weft_common(tests_${name})
  target_link_libraries(tests_${name} PRIVATE weft_catch ${arg_LIBS})
  target_compile_definitions(tests_${name} PRIVATE WEFT_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    WEFT_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND tests_${name} --use-colour no)
  # Test programs run side by side; threads of one that wait for a core of another only spin.
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "OMP_NUM_THREADS=1" TIMEOUT 1500)
endfunction()

# weft_sources(VAR [folders...]): every .cpp of this folder and the given sub-folders, so that adding a
# sampler or a command stays one new file and one line in its table.
function(weft_sources var)
  set(patterns ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(folder ${ARGN})
    list(APPEND patterns ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  endforeach()
  file(GLOB found CONFIGURE_DEPENDS ${patterns})
  set(${var} ${found} PARENT_SCOPE)
endfunction()
