# A relocatable tree: bin/weft, lib (LibTorch's libraries), share/weft/models/starter.
set_target_properties(weft PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/weft")
install(TARGETS weft RUNTIME DESTINATION bin)
file(GLOB weft_torch_libs ${WEFT_TORCH_LIB}/libtorch_cpu.so ${WEFT_TORCH_LIB}/libc10.so ${WEFT_TORCH_LIB}/libgomp*.so*
  ${WEFT_TORCH_LIB}/libtorch_cuda*.so ${WEFT_TORCH_LIB}/libc10_cuda.so ${weft_cu_lib}/libcudart.so* ${weft_cu_lib}/libcupti.so*)
install(FILES ${weft_torch_libs} DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/models/ DESTINATION share/weft/models)
install(FILES ${CMAKE_BINARY_DIR}/share/weft/clip_vocabulary.txt DESTINATION share/weft OPTIONAL)

# find_package(weft): the static libraries weft::files, weft::media, weft::diffusion, ... and their headers.
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
get_property(libraries GLOBAL PROPERTY weft_libraries)
set_target_properties(weft_flags PROPERTIES EXPORT_NAME flags)
install(TARGETS ${libraries} weft_flags EXPORT weft ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft)
install(EXPORT weft NAMESPACE weft:: FILE weftTargets.cmake DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/weftConfig.cmake.in ${CMAKE_BINARY_DIR}/weftConfig.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/weftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/weftConfig.cmake ${CMAKE_BINARY_DIR}/weftConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/libtorch.cmake DESTINATION ${package})
foreach(folder io diffusion temporal video)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/weft
    FILES_MATCHING PATTERN "*.h")
endforeach()
