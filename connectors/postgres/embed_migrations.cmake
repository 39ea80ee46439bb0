# Makes OUTPUT, a source file that holds every migrations/NNNN_name.sql as a string with its checksum.
# A file that is added, or changed, configures again.
function(embed_migrations output)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/migrations/*.sql)
  list(SORT files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
  set(entries "")
  foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    if(NOT name MATCHES "^0*([1-9][0-9]*)_(.+)$")
      message(FATAL_ERROR "${file}: a migration is named NNNN_name.sql")
    endif()
    set(version ${CMAKE_MATCH_1})
    set(title ${CMAKE_MATCH_2})
    file(READ ${file} sql)
    file(SHA256 ${file} checksum)
    string(APPEND entries
           "    Migration{${version}, \"${title}\", R\"migration(${sql})migration\",\n"
           "              \"${checksum}\"},\n")
  endforeach()
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/embedded_migrations.cc.in ${output} @ONLY)
endfunction()
