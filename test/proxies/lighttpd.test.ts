import { testProxy } from './suite.ts'

testProxy('lighttpd', { refusal: 'or cut off during the upload', isUploadStreamed: true, hasPaths: true, hasTls: true })
