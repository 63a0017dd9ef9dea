# A relocatable tree: bin/weft, lib (LibTorch's libraries), share/weft/models/starter.
set_target_properties(weft PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/weft")
install(TARGETS weft RUNTIME DESTINATION bin)
file(GLOB weft_torch_libs ${WEFT_TORCH_LIB}/libtorch_cpu.so ${WEFT_TORCH_LIB}/libc10.so ${WEFT_TORCH_LIB}/libgomp*.so*
  ${WEFT_TORCH_LIB}/libtorch_cuda*.so ${WEFT_TORCH_LIB}/libc10_cuda.so ${weft_cu_lib}/libcudart.so* ${weft_cu_lib}/libcupti.so*)
install(FILES ${weft_torch_libs} DESTINATION ${CMAKE_INSTALL_LIBDIR}/weft)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/models/ DESTINATION share/weft/models)
