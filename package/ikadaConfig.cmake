# find_package(ikada) gives ikada::ikada, the runtime, and ikada::core, consensus alone.
get_filename_component(ikada_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(ikada_prefix "${ikada_libdir}" PATH)
find_path(ikada_INCLUDE_DIR ikada/raft.h HINTS "${ikada_prefix}/include" NO_DEFAULT_PATH)
find_path(ikada_INCLUDE_DIR ikada/raft.h)
if(NOT TARGET ikada::ikada)
	add_library(ikada::ikada SHARED IMPORTED)
	set_target_properties(ikada::ikada PROPERTIES
		IMPORTED_LOCATION "${ikada_libdir}/libikada.so.0"
		IMPORTED_SONAME libikada.so.0
		INTERFACE_INCLUDE_DIRECTORIES "${ikada_INCLUDE_DIR}")
	add_library(ikada::core STATIC IMPORTED)
	set_target_properties(ikada::core PROPERTIES
		IMPORTED_LOCATION "${ikada_libdir}/libikada-core.a"
		INTERFACE_INCLUDE_DIRECTORIES "${ikada_INCLUDE_DIR}")
endif()
